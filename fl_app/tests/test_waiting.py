import time
from collections.abc import Iterable
from typing import Any

import pytest

from fl_app.errors import AppError
from fl_app.waiting import Wait


class Coming:
    """A grid whose nodes come one by one, each time that it is asked."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, 0

    def get_node_ids(self) -> Iterable[int]:
        self.asked += 1
        return range(min(self.asked, self.most))


def wait(grid: Any, devices: int, seconds: float) -> None:
    Wait(devices, seconds)(grid, 7)


def test_it_waits_until_enough_are_there() -> None:
    grid = Coming(3)
    wait(grid, 3, 60)
    assert grid.asked == 3


def test_it_does_not_wait_where_enough_are_there() -> None:
    start = time.monotonic()
    wait(Coming(1), 1, 60)
    assert time.monotonic() - start < 0.5


def test_it_ends_where_they_do_not_come() -> None:
    with pytest.raises(AppError, match=r"^round 7: 2 of min_devices=3 devices are online after device_timeout=0\.6 s$"):
        wait(Coming(2), 3, 0.6)
