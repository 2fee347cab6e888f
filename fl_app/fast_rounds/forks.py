"""The process that starts the apps' processes: as forks of itself, or as new ones where nothing is imported to share.

It makes no connection and loads no app: a process that has run torch operations, or holds threads, makes children hang.
Its children load their app afresh. Nothing of flwr is imported here, so that it is small where it keeps nothing warm.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from fast_rounds import child

LIMIT = 65536  # bytes of one order: a command line
GRACE = 3.0  # seconds that a process whose executor has ended may take to say goodbye
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


@dataclass
class Order:
    """A process that was ordered, by whom, and when it is killed."""

    argv: list[str]
    by: socket.socket
    answer: bool  # whether its exit status is told to who ordered it
    forked: bool
    until: float = float("inf")


class Forks:
    """`warm`: fork into the commands of `child.ENTRIES`; `tells`: say of a process that fell how, to its SuperNode."""

    def __init__(self, warm: bool, tells: bool) -> None:
        self._warm, self._tells = warm, tells
        self._running: dict[int, Order] = {}
        self._telling: set[int] = set()
        self._orders: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._ending = False
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)  # with a handler of its own, or the wake-up is not written
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the executor's to answer

    def serve(self, orders: socket.socket) -> None:
        """Do what comes through one connection, until its other end closes."""
        self._orders.add(orders)
        self._loop()

    def listen(self, listener: socket.socket) -> None:
        """Do what comes through any connection, until SIGTERM."""
        self._listener = listener
        signal.signal(signal.SIGTERM, self._ask_to_end)
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)  # a process whose parent ended becomes this one's child
        self._loop()

    def _ask_to_end(self, *_: object) -> None:
        self._ending = True

    def _loop(self) -> None:
        while self._listener or self._orders or self._running:
            soonest = min((order.until for order in self._running.values()), default=float("inf"))
            wait = None if soonest == float("inf") else max(0.0, soonest - time.monotonic())
            watched = [self._wake, *self._orders, *([self._listener] if self._listener else [])]
            ready, _, _ = select.select(watched, [], [], wait)
            if self._ending:
                self._close()
                continue
            if self._wake in ready:
                self._wake.recv(4096)
                self._bury()
            if self._listener in ready and self._listener:
                self._orders.add(self._listener.accept()[0])
            for orders in self._orders.intersection(ready):
                self._take(orders)
            for pid, order in self._running.items():
                if order.until <= time.monotonic():
                    order.until = float("inf")
                    os.kill(pid, signal.SIGKILL)

    def _take(self, orders: socket.socket) -> None:
        try:
            said = orders.recv(LIMIT)
        except OSError:
            said = b""
        if said:
            wanted = json.loads(said)
            self._start(wanted["argv"], wanted["quiet"], orders, wanted.get("answer", False))
        else:
            self._dismiss(orders)

    def _start(self, argv: list[str], quiet: bool, orders: socket.socket, answer: bool) -> None:
        if self._listener and "--parent-pid" in argv:
            # The executor is another user's: flwr takes a process that it may not signal for one that has ended.
            argv[argv.index("--parent-pid") + 1] = str(os.getpid())
        forked = self._warm and argv[0] in child.ENTRIES and "--allow-runtime-dependency-installation" not in argv
        run = child.become if forked else child.execute
        self._running[self._fork(lambda: run(argv, quiet))] = Order(argv, orders, answer, forked)

    def _fork(self, run: Callable[[], None]) -> int:
        parent = os.getpid()
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            for end in (self._wake, self._woken, *self._orders, *([self._listener] if self._listener else [])):
                end.close()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            die_with(parent)
            if self._listener:
                _LIBC.prctl(PR_SET_DUMPABLE, 1)
                _first_when_memory_is_short()
            run()
        finally:
            os._exit(1)

    def _bury(self) -> None:
        """Take note of processes that ended."""
        for pid, status in _ended():
            self._telling.discard(pid)
            order = self._running.pop(pid, None)
            if order is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            if order.answer:
                _tell(order.by, code)
            # What was not forked has an exit status as stock has it: all say how it went, but who was killed.
            if order.by in self._orders and (code != child.SAID if order.forked else code < 0):
                how = _how(code)
                print(f"WARNING :  fast_rounds: a process of {order.argv[0]} {how}", file=sys.stderr, flush=True)
                if self._tells:
                    told = self._fork(lambda argv=order.argv, how=how: child.report(argv, how))  # type: ignore[misc]
                    self._telling.add(told)
        if self._listener and not self._running:
            self._sweep()

    def _sweep(self) -> None:
        """Kill what apps left running, now that none runs: it could read what the next one is told."""
        for pid in children() - self._telling:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _dismiss(self, orders: socket.socket) -> None:
        """Interrupt the processes of an executor that has ended, as flwr does."""
        self._orders.discard(orders)
        orders.close()
        for pid, order in self._running.items():
            if order.by is orders:
                order.until = time.monotonic() + GRACE
                os.kill(pid, signal.SIGINT)

    def _close(self) -> None:
        self._ending = False
        if self._listener:
            self._listener.close()
            self._listener = None
        for orders in list(self._orders):
            self._dismiss(orders)


def die_with(parent: int) -> None:
    """Have the kernel kill this process with its parent (prctl(2)): flwr's own watch wakes no thread that waits."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def keep_private() -> None:
    """Keep this process's memory from other processes of its user (prctl(2))."""
    _LIBC.prctl(PR_SET_DUMPABLE, 0)


def _first_when_memory_is_short() -> None:
    """Have the kernel take this process, where it must take one, and not the SuperNode (proc(5))."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("500")
    except OSError as error:
        print(f"WARNING :  fast_rounds: oom_score_adj: {error}", file=sys.stderr, flush=True)


def _tell(orders: socket.socket, code: int) -> None:
    with contextlib.suppress(OSError):  # it has ended itself
        orders.send(str(code).encode(), socket.MSG_DONTWAIT)


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


def children() -> set[int]:
    """Return the ids of the processes whose parent is this one."""
    found: set[int] = set()
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
            _, _, rest = file.read().rpartition(")")  # the name before it may hold anything: proc(5)
            if int(rest.split()[1]) == os.getpid():
                found.add(int(name))
    return found


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code} before it answered"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"
