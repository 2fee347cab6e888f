"""fab status, logs and run, as the user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from fleet import status
from fleet.hosts import Host, Ssh
from unit.driving import LIMIT, ROOT

if TYPE_CHECKING:
    from unit.conftest import StandIn


def fab(*words: str, inventory: Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    task, *rest = words
    return subprocess.run(
        [str(Path(sys.executable).parent / "fab"), "-r", str(ROOT), task, "-i", str(inventory), *rest],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.fixture
def inventory(tmp_path: Path, standin: StandIn) -> Path:
    """A server with a stand-in for flwr, a device here, and one that nobody reaches."""
    here = {"ansible_connection": "local", "fleet_venv": str(standin.venv)}
    content = {
        "all": {
            "children": {
                "server": {"hosts": {"hub": {**here, "fleet_home": str(standin.home)}}},
                "devices": {
                    "hosts": {"a": {**here, "cid": 4}, "far": {"ansible_host": "127.0.0.1", "ansible_port": 1}}
                },
            },
        }
    }
    path = tmp_path / "hosts.yml"
    path.write_text(json.dumps(content))
    return path


def rows(text: str) -> dict[str, list[str]]:
    """The cells of a table by the first."""
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]
    return {line[0]: line[1:] for line in lines}


def test_status_has_a_row_for_every_host_also_one_that_is_not_reached(
    inventory: Path, standin: StandIn, tmp_path: Path
) -> None:
    standin.put({"nodes": {"11": {"status": "online"}, "12": {"status": "offline"}}})
    (standin.home / "nodes.json").write_text('{"a": {"node_id": "11"}, "far": {"node_id": "12"}}')
    for number, age in (("1", 100), ("2", 0)):
        folder = standin.home / "runs" / number
        folder.mkdir(parents=True)
        (folder / "devices.csv").write_text(f"round,cid,host\n1,4,a\n{number},4,a\n1,5,far\n")
        (folder / "rounds.csv").write_text("round,loss\n1,0.5\n3,0.4\n")
        os.utime(folder, (folder.stat().st_mtime - age,) * 2)
    done = fab("status", inventory=inventory, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert found["hub"] == ["yes", "superlink not provisioned", "-", "-", "3"]
    assert found["a"] == ["yes", "supernode not provisioned", "yes", "4", "2"]
    assert found["far"] == ["no: Unable to connect to port 1 on 127.0.0.1", "-", "no", "-", "1"]


def test_status_says_why_it_does_not_know_who_is_online(inventory: Path, standin: StandIn) -> None:
    standin.take_down()
    done = fab("status", inventory=inventory)
    assert rows(done.stdout)["a"][2] == "-"
    assert "online: Connection to the SuperLink is unavailable." in done.stdout


def test_run_takes_the_command_after_two_dashes(inventory: Path) -> None:
    done = fab("run", "--host", "hub:a", "--", "echo", "$((40 + 2))", inventory=inventory)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["  a | 42", "hub | 42"]


def test_run_ends_with_1_when_it_failed_on_any_host(inventory: Path, standin: StandIn) -> None:
    done = fab("run", "--cmd", "echo here", inventory=inventory)
    assert done.returncode == 1
    assert {"  a | here", "hub | here", "far | Unable to connect to port 1 on 127.0.0.1"} == set(
        done.stdout.splitlines()
    )
    assert done.stderr.splitlines() == ["failed on 1 of 3: far"]
    failing = fab("run", "--host", "a", "--", "exit 7", inventory=inventory)
    assert (failing.returncode, failing.stdout) == (1, "a | exit status 7\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run"], "ERROR: no command; allowed: fab run -- CMD, or fab run --cmd CMD"),
        (["run", "--host", "x", "--", "true"], "ERROR: host=x names none of the inventory's hosts"),
        (["status", "--host", "x"], "ERROR: host=x names none of the inventory's hosts"),
    ],
)
def test_a_mistake_is_one_line(inventory: Path, words: list[str], line: str) -> None:
    done = fab(*words, inventory=inventory)
    assert done.returncode == 2
    told = [text for text in done.stderr.splitlines() if not text.startswith("[WARNING]")]
    assert len(told) == 1
    assert told[0].startswith(line)


def test_logs_are_the_last_lines_with_their_host(inventory: Path, standin: StandIn) -> None:
    log = standin.home / "log" / "superlink.log"
    log.parent.mkdir()
    log.write_text("one\ntwo\n\x1b[92mINFO\x1b[0m three\n")
    done = fab("logs", "--host", "hub", "--lines", "2", inventory=inventory)
    assert done.stdout.splitlines() == ["hub | two", "hub | INFO three"]


def test_following_shows_lines_to_come_until_ctrl_c(inventory: Path, standin: StandIn) -> None:
    log = standin.home / "log" / "superlink.log"
    log.parent.mkdir()
    log.write_text("old\n")
    command = [str(Path(sys.executable).parent / "fab"), "-r", str(ROOT), "logs", "-i", str(inventory), "--host", "hub"]
    with subprocess.Popen(
        [*command, "--follow"],
        stdout=subprocess.PIPE,
        text=True,
        # What a shell starts in the background, these tests perhaps, is deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "hub | old\n"
            with log.open("a") as file:
                file.write("new\n")
            assert process.stdout.readline() == "hub | new\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()


HUB = Host("hub", "superlink", None, "/home", "/venv", "fl", "supervisor", None)
UNIT = replace(HUB, manager="systemd", ssh=Ssh("hub"))


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("superlink                        RUNNING   pid 7328, uptime 0:03:07\n", "running"),
        ("superlink                        FATAL     Exited too quickly (process log may have details)\n", "fatal"),
        ("superlink: ERROR (no such process)\n", "stopped"),
        ("unix:///tmp/flowerbed.sock no such file\n", "stopped"),
        ("unix:///tmp/flowerbed.sock refused connection\n", "stopped"),
        ("absent\n", "not provisioned"),
        ("loaded\nactive\n", "running"),
        ("loaded\nactivating\n", "activating"),
        ("loaded\nfailed\n", "failed"),
        ("loaded\ninactive\n", "inactive"),
        ("not-found\ninactive\n", "not provisioned"),
        ("", "not provisioned"),
    ],
)
def test_reads_the_state_of_a_service(answer: str, word: str) -> None:
    assert status._service(HUB, answer) == word


def test_text_with_brackets_is_shown_as_it_is() -> None:
    table = status.table([UNIT], [status.State(unreachable="[Errno 5] no [/] way")], status.Knowledge())
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    assert "no: [Errno 5] no [/] way" in capture.get()
