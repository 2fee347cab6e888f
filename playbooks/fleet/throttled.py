"""What a Raspberry Pi's firmware held back for want of power or for heat (`vcgencmd get_throttled`)."""

from __future__ import annotations

import re

# Bits 0 to 3 say what is now, 16 to 19 what was since the board booted.
MEANINGS = ("under-voltage", "CPU frequency capped", "throttled", "too hot")
SINCE_BOOT = 16


def bits(answer: str) -> int | None:
    """Return the bits of vcgencmd's answer; None where it is none."""
    found = re.fullmatch(r"throttled=(0x[0-9a-fA-F]+)", answer.strip())
    return int(found[1], 16) if found else None


def words(value: int) -> list[str]:
    """Return the meanings of four bits."""
    return [meaning for place, meaning in enumerate(MEANINGS) if value >> place & 1]


def at_start(value: int) -> list[str]:
    """Return what is to be said before a run."""
    now, earlier = value & 15, value >> SINCE_BOOT & 15
    said = [f"{word} now" for word in words(now)]
    return said + [f"{word} since it booted" for word in words(earlier & ~now)]


def in_run(before: int | None, after: int) -> list[str]:
    """Return what came up in a run: what is at its end, and what was since the boot but not before it.

    What was already before the run is not known to have come again, and is left out.
    """
    known = 0 if before is None else before >> SINCE_BOOT & 15
    return words(after & 15 | (after >> SINCE_BOOT & 15 & ~known))
