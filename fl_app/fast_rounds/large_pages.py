"""A process's memory in large pages, so that a fork of it copies a five-hundredth of the entries, and drops as many.

A process that has imported torch has 220 MB in 55,000 pages: to fork it, and to end the fork, takes longer than what an
app's process does in between. What a fork writes to is copied in small pages, as before (Linux 5.8 and later).
Linux 6.1 and later, madvise(2), MADV_COLLAPSE; elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

SIZE = 2 * 1024 * 1024  # bytes of a large page, with small ones of 4 KiB
MADV_COLLAPSE = 25  # asm-generic/mman-common.h
SETTING = "/sys/kernel/mm/transparent_hugepage/enabled"
_LIBC = ctypes.CDLL(None)
_LIBC.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

Span = tuple[int, int]  # addresses: from, up to


class LargePages:
    """Collapses what this process has; a second time, in a fork, what came since, so that the rest stays shared."""

    def __init__(self) -> None:
        self._seen: list[Span] = []

    def collapse(self) -> None:
        """Put memory that is not seen yet into large pages, as far as the kernel does that."""
        if not _wanted():
            return
        now = list(_own_memory())
        for start, end in _without(now, self._seen):
            first, last = -(-start // SIZE) * SIZE, end // SIZE * SIZE
            if first < last:
                _LIBC.madvise(first, last - first, MADV_COLLAPSE)  # a part that cannot be stays as it is
        self._seen = now


def _wanted() -> bool:
    """Return whether small pages are 4 KiB, and the system's administrator has not ruled large ones out."""
    try:
        with open(SETTING, encoding="ascii") as file:
            return os.sysconf("SC_PAGE_SIZE") == 4096 and "[never]" not in file.read()
    except OSError:
        return False


def _own_memory() -> Iterator[Span]:
    """Return where this process keeps what it may write to and no file stands for (proc(5), maps)."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            span, mode, *_, inode, name = [*line.split(None, 5), ""][:6]
            if mode.startswith("rw-p") and inode == "0" and name.strip() in ("", "[heap]"):
                start, end = (int(address, 16) for address in span.split("-"))
                yield start, end


def _without(spans: list[Span], seen: list[Span]) -> Iterator[Span]:
    """Return the parts of some spans that are in none of others."""
    for start, end in spans:
        for first, last in seen:
            if last <= start or first >= end:
                continue
            if first > start:
                yield start, first
            start = last
            if start >= end:
                break
        if start < end:
            yield start, end
