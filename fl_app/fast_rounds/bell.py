"""The nudge: who waits for the SuperNode's state learns of a change at once, without asking again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any


class Bell:
    """Counts its rings; a waiter sleeps until there is one that it has not heard."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0
        self._later = threading.local()

    @property
    def rings(self) -> int:
        """How often it has rung."""
        return self._rings

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let this thread's rings be one, in the end: who waits is to find all that is done within."""
        if hasattr(self._later, "rings"):  # within another such block, whose end is the end of this one
            yield
            return
        self._later.rings = 0
        try:
            yield
        finally:
            rang = self._later.rings
            del self._later.rings
            if rang:
                self.ring()

    def ring(self) -> None:
        """Wake everyone who waits."""
        if hasattr(self._later, "rings"):
            self._later.rings += 1
            return
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
