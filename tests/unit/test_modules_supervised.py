"""The module supervised, with a real supervisord."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unit.driving import run_module
from waits import gone, wait_for

BIN = Path(sys.executable).parent
LIMIT = 30.0  # seconds for what takes one or two

CONFIG = """
[supervisord]
logfile=%(here)s/supervisord.log
pidfile=%(here)s/supervisord.pid
[unix_http_server]
file={socket}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{socket}
[include]
files=programs/*.conf
"""


class Supervisor:
    """A supervisord of this test's own; its socket lies where the path is short."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.folder, self.config = folder, folder / "supervisord.conf"
        (folder / "programs").mkdir(parents=True)
        self.config.write_text(CONFIG.format(socket=sockets / "s.sock"))

    def program(self, name: str = "one", command: str = "sleep 1000", **options: object) -> None:
        lines = [f"[program:{name}]", f"command={command}", "startsecs=0"]
        lines += [f"{key}={value}" for key, value in options.items()]
        (self.folder / "programs" / f"{name}.conf").write_text("\n".join(lines) + "\n")

    def __call__(self, state: str, name: str = "one", *, check: bool = False) -> dict[str, Any]:
        given = {"name": name, "config": str(self.config), "bin": str(BIN), "state": state}
        return run_module("supervised", given, check=check)

    def control(self, *words: str) -> str:
        command = [str(BIN / "supervisorctl"), "-c", str(self.config), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def pid(self, name: str = "one") -> int:
        """The program's process id, 0 when it does not run."""
        return int(self.control("pid", name) or 0)

    def state(self, name: str = "one") -> str:
        return self.control("status", name).split()[1]

    def end(self) -> None:
        """End the daemon with what it runs, if it was started."""
        path = self.folder / "supervisord.pid"
        if path.exists():
            self.control("shutdown")
            wait_for(lambda: not path.exists(), "supervisord ends", LIMIT)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with tempfile.TemporaryDirectory() as sockets:
        found = Supervisor(tmp_path / "supervisor", Path(sockets))
        found.program()
        try:
            yield found
        finally:
            found.end()


def test_starts_the_daemon_and_the_program_once(supervisor: Supervisor) -> None:
    dry = supervisor("started", check=True)
    assert (dry["changed"], dry["was"]) == (True, "down")
    assert not (supervisor.folder / "supervisord.pid").exists()
    wet = supervisor("started")
    assert (wet["changed"], wet["was"]) == (True, "down")
    assert wet["diff"] == {"before": "one: down\n", "after": "one: started\n"}
    pid = supervisor.pid()
    again = supervisor("started")
    assert (again["changed"], again["was"]) == (False, "running")
    assert supervisor.pid() == pid


def test_stops_and_starts_one_program_alone(supervisor: Supervisor) -> None:
    supervisor.program("two")
    supervisor("started")
    other, pid = supervisor.pid("two"), supervisor.pid()
    assert supervisor("stopped", check=True)["changed"]
    assert supervisor.pid() == pid
    assert supervisor("stopped")["changed"]
    assert gone(pid)
    assert supervisor("stopped")["changed"] is False
    assert supervisor("started")["was"] == "stopped"
    assert supervisor.state() == "RUNNING"
    assert supervisor.pid("two") == other


def test_stopping_what_never_ran_changes_nothing(supervisor: Supervisor) -> None:
    assert supervisor("stopped")["changed"] is False
    assert not (supervisor.folder / "supervisord.pid").exists()


def test_restarts_always(supervisor: Supervisor) -> None:
    assert supervisor("restarted")["was"] == "down"
    pid = supervisor.pid()
    assert supervisor("restarted", check=True)["changed"]
    assert supervisor.pid() == pid
    assert supervisor("restarted")["changed"]
    assert supervisor.pid() != pid
    assert gone(pid)


def test_takes_over_a_changed_file_and_restarts_that_program_alone(supervisor: Supervisor) -> None:
    supervisor.program("two")
    supervisor("started")
    other = supervisor.pid("two")
    supervisor.program("one", "sleep 2000")
    assert supervisor("restarted")["changed"]
    command = Path(f"/proc/{supervisor.pid()}/cmdline")
    if command.exists():  # Linux
        assert command.read_bytes().split(b"\0")[1] == b"2000"
    assert supervisor.pid("two") == other


def test_starts_a_program_that_is_new_to_the_daemon(supervisor: Supervisor) -> None:
    supervisor("started")
    supervisor.program("two")
    result = supervisor("started", "two")
    assert (result["changed"], result["was"]) == (True, "unknown")
    assert supervisor.state("two") == "RUNNING"


def test_stops_a_program_that_supervisor_starts_again_and_again(supervisor: Supervisor) -> None:
    supervisor.program("one", "false", startsecs=1, startretries=1000)
    supervisor("started")
    wait_for(lambda: supervisor.state() == "BACKOFF", "supervisor backs off", LIMIT)
    assert supervisor("started")["changed"] is False
    assert supervisor("stopped")["changed"]
    again = supervisor("stopped")  # with its last program the daemon has gone
    assert (again["changed"], again["was"]) == (False, "down")


@pytest.mark.parametrize("name", ["two", "nobody"])
def test_says_that_a_program_did_not_start(supervisor: Supervisor, name: str) -> None:
    supervisor.program("two", "/nowhere/program", autostart=False)
    supervisor("started")
    result = supervisor("started", name)
    assert result["msg"].startswith(f"{name} did not start: ")
    assert supervisor.state() == "RUNNING"


def test_a_daemon_that_does_not_start(supervisor: Supervisor) -> None:
    supervisor.config.write_text("[supervisord]\nlogfile=/nowhere/at/all.log\n")
    result = supervisor("started")
    assert result["msg"].startswith("supervisord did not start: ")
    assert "/nowhere/at" in result["msg"]
