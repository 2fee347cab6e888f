"""Waiting for what other processes do, for a bounded time and no longer than need be."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def wait_for(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Wait until something holds, and fail where it does not within that time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Return whether a process has ended; where PID 1 reaps nothing, a zombie of it stays."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
