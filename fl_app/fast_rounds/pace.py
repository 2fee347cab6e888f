"""How long to sleep between two questions to the SuperLink.

Short while something is going on, and longer the longer nothing comes: a wait is prolonged by `GROWTH` of itself at
most, so that a round of an hour is not asked for ten times a second. And never shorter than `PATIENCE` answers take, so
that those who ask cannot keep a slow server busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable

GROWTH = 0.02
PATIENCE = 3.0


class Pace:
    """Seconds to sleep: from `floor`, growing with the time since `start`, up to `ceiling`."""

    def __init__(self, floor: float, ceiling: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._floor, self._ceiling, self._clock = floor, ceiling, clock
        self._since = float("-inf")  # nothing has happened yet: slow
        self._slept = float("-inf")

    def start(self) -> None:
        """Something happened: begin with the shortest interval again."""
        self._since = self._slept = self._clock()

    def seconds(self) -> float:
        """Return how long to sleep now, the answer to the last question having just come."""
        now = self._clock()
        took = now - self._slept
        chosen = min(self._ceiling, max(self._floor, GROWTH * (now - self._since), PATIENCE * took))
        self._slept = now + chosen
        return chosen


def supernode_floor(partitions: int | None) -> float:
    """Return the shortest interval in seconds: all SuperNodes of the fleet together ask 50 times a second at most."""
    return min(1.0, max(0.05, 0.02 * (partitions or 10)))
