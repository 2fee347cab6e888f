"""The nudge: who waits for the SuperNode's state learns of a change at once, without asking again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any


class Bell:
    """Counts its rings; a waiter sleeps until there is one that it has not heard."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often it has rung."""
        return self._rings

    def ring(self) -> None:
        """Wake everyone who waits."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, heard: int, seconds: float) -> int:
        """Return the number of rings as soon as it is not `heard`, or after `seconds`."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings != heard, max(0.0, seconds))
            return self._rings

    def after(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` so that it rings when it is done."""

        @wraps(function)
        def rings(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            finally:
                self.ring()

        return rings
