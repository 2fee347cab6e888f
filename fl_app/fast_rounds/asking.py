"""Who asks for messages asks that the question be held until there is one; a SuperLink of fast_rounds does (`hold.py`).

Stock's SuperLink, and one of another version, answers at once, and does not say that it holds: then the pace is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from fast_rounds.hold import HELD, HOLD


class Asking:
    """How long the questions of one path may be held, in seconds (0: not at all), and whether the last one was."""

    def __init__(self, path: str, seconds: float = 0.0) -> None:
        self._path = path
        self._seconds = ContextVar("seconds", default=seconds)
        self.held = False

    @contextmanager
    def held_for(self, seconds: float) -> Iterator[None]:
        """Let the questions that are asked within be held so long."""
        before = self._seconds.set(max(0.0, seconds))
        try:
            yield
        finally:
            self._seconds.reset(before)

    def install(self, module: ModuleType, interceptor: str) -> None:
        """Let `module` send the questions so: `interceptor` names the class there through which its requests go."""
        stock = vars(module)[interceptor]

        def intercept(this: Any, context: Any, call_next: Any) -> Any:
            seconds = self._seconds.get()
            if context.request.url.path != self._path or not seconds:
                return stock.intercept(this, context, call_next)
            self.held = False  # it stays so where the question fails
            context.request.headers[HOLD] = f"{seconds:.3f}"
            response = stock.intercept(this, context, call_next)
            self.held = HELD in response.headers
            return response

        vars(module)[interceptor] = type(interceptor, (stock,), {"intercept": intercept})
