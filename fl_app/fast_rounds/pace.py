"""How long to sleep between two questions: short while something is going on, longer the longer nothing comes.

A wait is prolonged by `GROWTH` of itself at most, so that a round of an hour is not asked for 20 times a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable

GROWTH = 0.02


class Pace:
    """Seconds to sleep: from `floor`, growing with the time since `start`, up to `ceiling`."""

    def __init__(self, floor: float, ceiling: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._floor, self._ceiling, self._clock = floor, ceiling, clock
        self._since = float("-inf")  # nothing has happened yet: slow

    def start(self) -> None:
        """Something happened: begin with the shortest interval again."""
        self._since = self._clock()

    def seconds(self) -> float:
        """Return how long to sleep now."""
        return min(self._ceiling, max(self._floor, GROWTH * (self._clock() - self._since)))


def supernode_floor(partitions: int | None) -> float:
    """Return the shortest interval in seconds for a fleet: all its SuperNodes together ask 50 times a second at most."""
    return min(1.0, max(0.05, 0.02 * (partitions or 10)))
