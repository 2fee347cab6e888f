"""The warm process: it has imported what apps need, and forks into a ClientApp or ServerApp where stock starts Python.

It imports and does nothing else: a process that has run torch operations, or holds threads, makes children hang. So
it is forked before the executor reads its secret or makes a connection, it loads no app, and its children load theirs
afresh.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from flwr.supercore import log

from fast_rounds import child
from fast_rounds.launch import Commands

WARNING, INFO = 30, 20
LIMIT = 65536  # bytes of one order: a command line
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Warm(Commands):
    """The executor's end: starts the processes of apps as forks."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders

    def Popen(self, command: list[str], **kwargs: Any) -> object:  # noqa: N802 - it is called by this name
        """Have `command` run by a fork; by a new process where it wants packages of its own or the warm one is gone."""
        if command[0] in child.ENTRIES and "--allow-runtime-dependency-installation" not in command:
            try:
                self._orders.send(json.dumps({"argv": command, "quiet": "stdout" in kwargs}).encode())
                return None
            except OSError as error:
                log(WARNING, "fast_rounds: the warm process is gone (%s): %s starts stock", error, command[0])
        return super().Popen(command, **kwargs)


def start(preload: list[str]) -> Warm:
    """Fork the warm process and return this process's end of it."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        here.close()
        try:
            _serve(there, preload)
        finally:
            os._exit(0)
    there.close()
    return Warm(here)


def _import(names: list[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            pass  # not on this device: its apps do not need it
        except Exception as error:
            log(WARNING, "fast_rounds: %s cannot be imported ahead: %s", name, " ".join(str(error).split()))


def _serve(orders: socket.socket, preload: list[str]) -> None:
    """Fork for each order until the executor ends."""
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)  # with a handler of its own, or the wake-up is not written
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the executor's to answer
    _import(preload)
    running: dict[int, list[str]] = {}
    parent = os.getpid()

    def fork(run: Callable[[], None]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                _die_with(parent)
                for end in (orders, wake, woken):
                    end.close()
                run()
            finally:
                os._exit(1)
        return pid

    while True:
        ready, _, _ = select.select([orders, wake], [], [])
        if wake in ready:
            wake.recv(4096)
            for pid, status in _ended():
                argv = running.pop(pid, None)
                if argv is not None and os.waitstatus_to_exitcode(status) != child.SAID:
                    how = _how(status)
                    log(WARNING, "fast_rounds: a process of %s %s", argv[0], how)
                    fork(lambda argv=argv, how=how: child.report(argv, how))  # type: ignore[misc]
        if orders in ready:
            order = orders.recv(LIMIT)
            if not order:
                _interrupt(running)
                return
            wanted = json.loads(order)
            argv = wanted["argv"]
            running[fork(lambda argv=argv, quiet=wanted["quiet"]: child.become(argv, quiet))] = argv  # type: ignore[misc]


def _die_with(parent: int) -> None:
    """Have the kernel kill this process with its parent (prctl(2)): flwr's own watch wakes no thread that waits."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _interrupt(running: Iterable[int], seconds: float = 3.0) -> None:
    """Interrupt processes as flwr does when its executor has ended, and wait a moment for their ends."""
    left = set(running)
    for pid in left:
        os.kill(pid, signal.SIGINT)
    limit = time.monotonic() + seconds
    while left and time.monotonic() < limit:
        left -= {pid for pid, _ in _ended()}
        time.sleep(0.05)


def _ended() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit status {code} before it answered"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"


def enough_memory(sharing: int, least_mib: int = 800) -> bool:
    """Return whether each of `sharing` devices of this host can have a warm process.

    A board that is sold with 1 GB shows some 900 MiB.
    """
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        with open("/proc/meminfo", encoding="ascii") as file:  # in a container it may say less than sysconf
            total = min(total, int(next(line for line in file if line.startswith("MemTotal")).split()[1]) * 1024)
    except (OSError, StopIteration, ValueError):
        return False
    return total >= least_mib * 1024 * 1024 * sharing


def wanted(setting: str, sharing: int = 1) -> bool:
    """Return whether to keep a warm process: `on`, or `auto` with 1 GB or more a device. Linux alone forks safely."""
    return sys.platform == "linux" and (setting == "on" or (setting == "auto" and enough_memory(sharing)))
