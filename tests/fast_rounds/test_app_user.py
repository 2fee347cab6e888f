"""The process that starts apps as a user of their own, and what orders from it. Two users are the lab's to test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from flwr.supercore.constant import TASK_TYPE_TO_COMMAND

from bench.fleet import listening
from fast_rounds.app_user import AppUser
from waits import gone, wait_for

PROJECT = Path(__file__).resolve().parents[2]
FOLDERS = os.pathsep.join(path for path in sys.path if path)
APP = """#!/bin/sh
echo $$ > {folder}/pid
echo "$@" > {folder}/said
test "$1" = ends && exit 7
exec sleep 600
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="units of systemd are Linux's")


class Starter:
    """The process, where a program of this folder stands for Flower's; stock, as in `fast_rounds=off`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, folder / "clientapps.sock"
        program = folder / "flwr-clientapp"
        program.write_text(APP.format(folder=folder))
        program.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": FOLDERS,
            "FAST_ROUNDS": "off",
            "FAST_ROUNDS_APPS": str(self.address),
        }
        self.listener = listening(self.address)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, as systemd does."""
        return self.spawn("clientapps", listener=self.listener)

    def spawn(self, *command: str, listener: socket.socket | None = None) -> subprocess.Popen[bytes]:
        """Start a command of fast_rounds."""
        environment = {**self.environment, **({"LISTEN_FDS": "1"} if listener else {})}
        code = "import sys; from fast_rounds.__main__ import main; sys.argv[0] = '-'; main()"
        return subprocess.Popen(
            [sys.executable, "-c", code, *command],
            env=environment,
            preexec_fn=(lambda: os.dup2(listener.fileno(), 3) and None) if listener else None,
            pass_fds=(3,) if listener else (),
        )

    def app(self) -> int:
        """Return the process id of the app, once it runs."""
        pid = self.folder / "pid"
        wait_for(lambda: (self.folder / "said").exists() and pid.read_text().strip(), "the app runs", 30)
        return int(pid.read_text())


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    made = Starter(tmp_path)
    yield made
    made.process.terminate()
    made.process.wait(30)
    made.listener.close()


def test_a_stock_executors_command_ends_as_the_app_does(starter: Starter) -> None:
    handed = starter.spawn("hand-over", "flwr-clientapp", "ends", "--parent-pid", str(os.getpid()))
    assert handed.wait(30) == 7
    # To flwr a process that it may not signal has ended: the app watches who started it.
    assert (starter.folder / "said").read_text().split() == ["ends", "--parent-pid", str(starter.process.pid)]
    assert (starter.folder / "said").stat().st_uid == os.getuid()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_app_ends_with_its_executor(starter: Starter, end: signal.Signals) -> None:
    handed = starter.spawn("hand-over", "flwr-clientapp", "stays")
    app = starter.app()
    assert int(Path(f"/proc/{app}/oom_score_adj").read_text()) == 500
    handed.send_signal(end)
    handed.wait(30)
    wait_for(lambda: gone(app), "the app is interrupted", 30)


def test_an_app_that_hangs_is_killed(starter: Starter) -> None:
    program = starter.folder / "flwr-clientapp"
    program.write_text(program.read_text().replace("exec sleep 600", "trap '' INT; sleep 600 & wait; wait"))
    handed = starter.spawn("hand-over", "flwr-clientapp", "stays")
    app = starter.app()
    below = psutil.Process(app)
    wait_for(below.children, "it has a child", 30)
    (child,) = below.children()
    handed.kill()
    handed.wait()
    wait_for(lambda: gone(app), "the app is killed", 30)
    wait_for(lambda: gone(child.pid), "and what it started", 30)


def test_an_app_leaves_nothing_running(starter: Starter) -> None:
    program = starter.folder / "flwr-clientapp"
    started = f"setsid sh -c 'sleep 600 & echo $! > {starter.folder}/left; wait' &"
    program.write_text(
        program.read_text().replace("test ", f"{started}\nuntil test -s {starter.folder}/left; do :; done\ntest ")
    )
    assert starter.spawn("hand-over", "flwr-clientapp", "ends").wait(30) == 7
    left = int((starter.folder / "left").read_text())
    wait_for(lambda: gone(left), "what it left is killed", 30)


def test_apps_end_with_the_process_that_starts_them_and_the_next_one_takes_over(starter: Starter) -> None:
    executor = AppUser(str(starter.address))
    assert executor.Popen(["flwr-clientapp", "stays"]) is None
    app = starter.app()
    starter.process.kill()
    starter.process.wait()
    wait_for(lambda: gone(app), "the app is killed", 30)
    for name in ("pid", "said"):
        (starter.folder / name).unlink()
    starter.process = starter.start()
    assert executor.Popen(["flwr-clientapp", "stays"]) is None
    assert starter.app() != app
    begun = time.monotonic()
    starter.process.terminate()  # `systemctl stop`
    starter.process.wait(30)
    assert time.monotonic() - begun < 30


def test_nothing_is_started_as_ones_own_user_where_nobody_listens(starter: Starter) -> None:
    executor = AppUser(str(starter.folder / "nobody.sock"))
    assert executor.Popen(["flwr-clientapp", "stays"]) is None
    starter.environment["FAST_ROUNDS_APPS"] = str(starter.folder / "nobody.sock")
    assert starter.spawn("hand-over", "flwr-clientapp", "stays").wait(30) == 1
    assert not (starter.folder / "pid").exists()


def test_what_it_knows_is_kept_from_the_apps(starter: Starter) -> None:
    executor = AppUser(str(starter.address))
    executor.Popen(["flwr-clientapp", "stays"])
    app = starter.app()
    # /proc/PID of a process that may not be dumped is root's (proc(5)); the app's own is its user's, as ever.
    assert os.stat(f"/proc/{starter.process.pid}/mem").st_uid == 0
    assert os.stat(f"/proc/{app}/mem").st_uid == os.getuid()
    status = Path(f"/proc/{starter.process.pid}/maps")
    if os.getuid() != 0:
        with pytest.raises(PermissionError):
            status.read_text()


def test_every_command_that_an_executor_knows_is_handed_over() -> None:
    import yaml

    known = yaml.safe_load((PROJECT / "roles/supernode/vars/main.yml").read_text(encoding="utf-8"))
    assert set(known["supernode_app_commands"]) == set(TASK_TYPE_TO_COMMAND.values())


def test_without_a_socket_it_says_who_starts_it(starter: Starter) -> None:
    done = starter.spawn("clientapps")
    assert done.wait(30) == 1
