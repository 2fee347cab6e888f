"""How long fast rounds sleep between two questions."""

from __future__ import annotations

import threading
import time

import pytest

from fast_rounds.bell import Bell
from fast_rounds.pace import Pace, supernode_floor


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_idle_is_slow_active_is_fast_and_a_long_wait_costs_two_percent() -> None:
    clock = Clock()
    pace = Pace(0.1, 3.0, clock)
    assert pace.seconds() == 3.0
    pace.start()
    assert pace.seconds() == 0.1
    for waited in (10.0, 60.0, 100.0):
        pace.start()
        begun, clock.now = clock.now, clock.now + waited
        pace._slept = clock.now  # the answer came at once
        assert pace.seconds() == pytest.approx(0.02 * waited)
        clock.now = begun
    pace.start()
    clock.now += 3600.0
    assert pace.seconds() == 3.0


def test_a_slow_server_is_asked_less_often() -> None:
    clock = Clock()
    pace = Pace(0.1, 3.0, clock)
    pace.start()
    clock.now += 0.2  # the answer took that long
    assert pace.seconds() == pytest.approx(0.6)
    clock.now += 0.6 + 0.01
    assert pace.seconds() == pytest.approx(0.1)


@pytest.mark.parametrize(("partitions", "floor"), [(None, 0.2), (2, 0.05), (4, 0.08), (8, 0.16), (50, 1.0), (500, 1.0)])
def test_the_interval_grows_with_the_fleet(partitions: int | None, floor: float) -> None:
    assert supernode_floor(partitions) == pytest.approx(floor)


def test_a_ring_wakes_at_once_and_one_before_the_wait_is_not_lost() -> None:
    bell = Bell()
    heard = bell.rings
    bell.ring()
    begun = time.monotonic()
    assert bell.wait(heard, 30) == heard + 1
    thread = threading.Thread(target=bell.ring)
    thread.start()
    assert bell.wait(heard + 1, 30) == heard + 2
    thread.join()
    assert time.monotonic() - begun < 10
    assert bell.wait(heard + 2, 0.01) == heard + 2
