"""Starts the runner of a folder beside whoever asks, so that a connection that is lost does not end it."""

import fcntl
import os
import signal
import sys
from pathlib import Path
from typing import IO

from vision_benchmark.runner import DONE, Runner, own_command

LOCK, LOG = "runner.lock", "runner.log"
STOPPED = "stopped"  # on request: whoever follows does not start it again


def start(folder: Path) -> None:
    """Run the folder's plan in a process of its own, if it is not done and no runner is at it; return at once."""
    if (folder / DONE).exists():
        return
    lock = (folder / LOCK).open("a+")
    if not _hold(lock):
        return
    (folder / STOPPED).unlink(missing_ok=True)
    sys.stdout.flush()
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    nothing, log = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
    )
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # The lock goes with the process, however it ends.
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that what is measured ends, too
    Runner(folder, own_command()).run()


def alive(folder: Path) -> bool:
    """Say whether a runner is at this folder."""
    try:
        with (folder / LOCK).open("a+") as lock:
            return not _hold(lock)
    except OSError:
        return False


def stop(folder: Path) -> bool:
    """End the folder's runner and what it measures, and wait for that; return whether there was one."""
    try:
        pid = int((folder / LOCK).read_text(encoding="ascii") or 0)
    except (OSError, ValueError):
        return False
    if not pid or not alive(folder):
        return False
    (folder / STOPPED).touch()
    os.kill(pid, signal.SIGTERM)
    with (folder / LOCK).open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    return True


def _hold(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
