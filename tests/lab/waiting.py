"""Waiting for things, and doing many at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .errors import LabError

Item = TypeVar("Item")


def each(action: Callable[[Item], object], items: Iterable[Item]) -> None:
    """Do something with every item, several at a time; the first error is raised once all are done."""
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(action, item) for item in items]:
            done.result()


def wait_for(condition: Callable[[], bool], timeout: float, problem: str) -> None:
    """Wait until something holds.

    Raises:
        LabError: it did not within `timeout` seconds; `problem` is its message.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(problem)
        time.sleep(0.02)
