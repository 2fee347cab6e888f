"""What the app asks of the machine that it runs on: threads, memory, versions and fallback folders."""

import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fl_app.errors import AppError

PACKAGES = ("flwr", "torch", "tensorflow", "tensorflow-cpu", "numpy")


def threads() -> int:
    """Return how many threads a framework may use here.

    The environment's ``FL_THREADS`` decides, for whoever starts several devices on one machine knows how they
    share its cores; else it is all cores that this process may run on. Raises `AppError` where it is no
    positive number.
    """
    text = os.environ.get("FL_THREADS", "")
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise AppError(f"FL_THREADS={text!r} in the environment is not allowed: a whole number, at least 1")
        return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_mb() -> float:
    """Return the largest resident size of this process so far, in MB (10^6 bytes).

    On Linux by proc(5), for getrusage(2) counts what a parent held when it started this process.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # on macOS in bytes
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6


def versions() -> dict[str, str]:
    """Return the versions of Python and of what the app stands on: of those of `PACKAGES` that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name.removesuffix("-cpu")] = version(name)
        except PackageNotFoundError:
            continue
    return found


def fallback_folder(name: str) -> Path:
    """Return the folder ``name`` for a run by hand, where no service's environment names one."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "flowerbed" / name
