"""A SuperNode whose executor has ended ends, too: its service then starts both again.

Stock goes on without: it takes messages that nobody answers, and a round waits for it up to its limit.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import ModuleType
from typing import Any

from fast_rounds import forks, launch

WARNING = 30
GRACE = 1.0  # seconds in which a SuperNode that is told to end, together with its executor, has begun to


class Watched(launch.Commands):
    """Starts commands, and watches the executor."""

    def Popen(self, command: list[str], **kwargs: Any) -> object:  # noqa: N802 - it is called by this name
        """Start a command; where it is the executor, end with it."""
        process: Any = super().Popen(command, **kwargs)
        if command[0] == "flower-superexec":
            _watch(process.pid)
        return process


def install(module: ModuleType) -> None:
    """Let a SuperNode end with the executor that `module` starts, or with the one that was started before it."""
    launch.install(module, Watched())
    for pid in forks.children():
        _watch(pid)


def _watch(pid: int) -> None:
    if hasattr(os, "waitid"):  # not on macOS before Python 3.13
        threading.Thread(target=_end_with, args=(pid,), daemon=True).start()


def _end_with(pid: int) -> None:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # what it ended with stays for who started it
    time.sleep(GRACE)
    # flwr takes its handler away as soon as it ends; another signal would then cut that short.
    if callable(signal.getsignal(signal.SIGTERM)):
        from flwr.supercore import log

        log(WARNING, "fast_rounds: the executor has ended, and the SuperNode ends with it")
        os.kill(os.getpid(), signal.SIGTERM)
