"""Where a warm process is kept, and what becomes of orders when it is gone."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fast_rounds import forks, warm
from waits import gone, wait_for

GIB = 1024 * 1024


@pytest.mark.parametrize(
    ("setting", "kib", "sharing", "wanted"),
    [
        ("auto", 416 * 1024, 1, False),  # a Pi Zero 2 W
        ("auto", 906 * 1024, 1, True),  # a Pi 3B+, sold with 1 GB
        ("auto", 4 * GIB, 4, True),
        ("auto", 4 * GIB, 20, False),
        ("on", 416 * 1024, 1, True),
        ("off", 64 * GIB, 1, False),
    ],
)
def test_auto_asks_for_a_gigabyte_a_device(
    monkeypatch: pytest.MonkeyPatch, setting: str, kib: int, sharing: int, wanted: bool
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 64 * GIB)
    monkeypatch.setattr("builtins.open", lambda *_, **__: io.StringIO(f"MemTotal: {kib} kB\n"))
    assert warm.wanted(setting, sharing) is wanted


def test_no_warm_process_where_forking_is_not_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not warm.wanted("on")


def test_a_stock_process_starts_where_the_warm_one_is_gone_or_cannot_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "flwr-clientapp"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        orders = warm.Warm(here)
        with_packages = orders.Popen(["flwr-clientapp", "--allow-runtime-dependency-installation"])
        assert isinstance(with_packages, subprocess.Popen)
        assert with_packages.wait(30) == 7
        assert orders.Popen(["flwr-clientapp", "--token", "t"]) is None
        assert b"--token" in there.recv(forks.LIMIT)
        there.close()
        gone = orders.Popen(["flwr-clientapp", "--token", "t"])
        assert isinstance(gone, subprocess.Popen)
        assert gone.wait(30) == 7


STUBBORN = """
import os, signal, sys, time
from pathlib import Path
from fast_rounds import child, warm

def hang():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Path(sys.argv[1]).write_text(str(os.getpid()))
    time.sleep(600)

place = sys.argv[1]
child.ENTRIES["flwr-clientapp"] = hang
orders = warm.start([])
orders.Popen(["flwr-clientapp", place])
while not Path(place).exists() or not Path(place).read_text():
    time.sleep(0.05)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux alone")
def test_a_process_that_hangs_ends_with_its_executor(tmp_path: Path) -> None:
    place = tmp_path / "pid"
    folders = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": folders}
    subprocess.run([sys.executable, "-c", STUBBORN, str(place)], env=environment, check=True, timeout=120)
    pid = int(place.read_text())
    wait_for(lambda: gone(pid), "the process that hangs is killed", 30)
