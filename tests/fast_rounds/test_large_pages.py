"""A process's memory in large pages, where the system has them."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fast_rounds import large_pages
from fast_rounds.large_pages import SIZE, LargePages, Span

FL_APP = Path(large_pages.__file__).parents[1]
# Fills memory, and says how much, in KiB, is in large pages before, after, and in a fork that has more of its own.
LOOK = """
import mmap, os
from fast_rounds.large_pages import SIZE, LargePages

def large():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("AnonHugePages"))

def fill():
    made = mmap.mmap(-1, 16 * SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    made.madvise(mmap.MADV_NOHUGEPAGE)
    for at in range(0, len(made), 4096):
        made[at] = 1
    made.madvise(mmap.MADV_HUGEPAGE)
    return made

pages, first = LargePages(), fill()
said = [large()]
pages.collapse()
said.append(large())
if (pid := os.fork()) == 0:
    for at in range(0, len(first), SIZE):
        first[at] = 2  # copied in small pages
    second = fill()
    before = large()
    pages.collapse()
    print(*said, before, large(), first[0], first[4096], flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(first[0])
"""


@pytest.mark.parametrize(
    ("spans", "seen", "left"),
    [
        ([(0, 10)], [], [(0, 10)]),
        ([(0, 10)], [(0, 10)], []),
        ([(0, 10)], [(10, 20)], [(0, 10)]),
        ([(0, 30)], [(10, 20)], [(0, 10), (20, 30)]),
        ([(5, 30)], [(0, 10), (20, 25)], [(10, 20), (25, 30)]),
        ([(0, 10), (20, 30)], [(5, 25)], [(0, 5), (25, 30)]),
    ],
)
def test_what_was_seen_is_left_out(spans: list[Span], seen: list[Span], left: list[Span]) -> None:
    assert list(large_pages._without(spans, seen)) == left


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5) is Linux's")
def test_memory_that_no_file_stands_for_is_found() -> None:
    kept = bytearray(64 * SIZE)  # more than malloc takes from the heap
    spans = list(large_pages._own_memory())
    address = (ctypes.c_char * len(kept)).from_buffer(kept)
    start = ctypes.addressof(address)
    assert any(first <= start and start + len(kept) <= last for first, last in spans)
    code = ctypes.cast(large_pages._LIBC.getpid, ctypes.c_void_p).value or 0
    assert not any(first <= code < last for first, last in spans)


def collapses() -> bool:
    """Return whether this system's kernel does it: Linux 6.1 and later, built with large pages."""
    return sys.platform == "linux" and large_pages._wanted() and _release() >= (6, 1)


def _release() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


@pytest.mark.skipif(not collapses(), reason="this kernel has no MADV_COLLAPSE, or large pages are ruled out")
def test_memory_is_put_into_large_pages_and_a_fork_leaves_what_it_shares() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env={"PYTHONPATH": str(FL_APP)}, capture_output=True, text=True, check=True
    )
    forked, own = done.stdout.splitlines()
    before, after, with_more, in_the_end, first, other = map(int, forked.split())
    half = 8 * SIZE // 1024  # where memory is in pieces the kernel may not find a large page for each
    assert after - before >= half
    assert with_more < SIZE // 1024 * 2  # what it wrote to is in small pages, and what it shares with them
    assert half <= in_the_end - with_more <= 18 * SIZE // 1024  # its own, and not what it shares
    assert (first, other, int(own)) == (2, 1, 1)


@pytest.mark.parametrize("setting", ["always madvise [never]\n", None])
def test_nothing_is_done_where_large_pages_are_ruled_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    class Libc:
        def madvise(self, *_: int) -> int:
            raise AssertionError("nothing is to be done")

    if setting is not None:
        (tmp_path / "enabled").write_text(setting)
    monkeypatch.setattr(large_pages, "SETTING", str(tmp_path / "enabled"))
    monkeypatch.setattr(large_pages, "_LIBC", Libc())
    LargePages().collapse()
