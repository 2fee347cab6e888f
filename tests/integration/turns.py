"""Turns at this machine: test processes have labs side by side, but one that compares before and after is alone."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_FOLDER = Path(tempfile.gettempdir()) / f"flowerbed-turns-{os.getuid()}"
_alone = 0


@contextmanager
def beside_others() -> Iterator[None]:
    """Wait until nobody has to be alone, and keep whoever wants to be waiting."""
    with ExitStack() as stack:
        with _locked("door", fcntl.LOCK_EX):  # who wants to be alone waits in it, so that nobody enters before
            stack.enter_context(_locked("room", fcntl.LOCK_SH))
        yield


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other process has a lab of the tests; a second time within it counts for nothing."""
    global _alone
    if _alone:
        yield
        return
    with _locked("door", fcntl.LOCK_EX), _locked("room", fcntl.LOCK_EX):
        _alone += 1
        try:
            yield
        finally:
            _alone -= 1


@contextmanager
def _locked(name: str, how: int) -> Iterator[None]:
    _FOLDER.mkdir(mode=0o700, exist_ok=True)
    with (_FOLDER / name).open("w") as file:
        fcntl.flock(file, how)
        yield
