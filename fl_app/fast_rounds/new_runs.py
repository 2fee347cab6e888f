"""A SuperLink's executor learns of a run as it is submitted; stock's asks for one each second.

Its question is held for as long as stock's pause between two, so what comes with time alone is found as often.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flwr.proto.runtime_pb2 import AcquireTaskRequest, AcquireTaskResponse
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.superlink.servicer.runtime import runtime_handlers
from sqlalchemy import event

from fast_rounds.bell import Bell

HOLD = 1.0  # seconds


def held(
    stock: Callable[[AcquireTaskRequest, Any], AcquireTaskResponse], bell: Bell, seconds: float
) -> Callable[[AcquireTaskRequest, Any], AcquireTaskResponse]:
    """Return `stock`, which claims a task, so that it waits for one for `seconds` where there is none."""

    @wraps(stock)
    def acquire_task(request: AcquireTaskRequest, state: Any) -> AcquireTaskResponse:
        heard = bell.rings
        response = stock(request, state)
        if not response.HasField("task") and bell.wait(heard, seconds) != heard:
            response = stock(request, state)
        return response

    return acquire_task


def ringing(stock: Callable[..., Any], bell: Bell) -> Callable[..., Any]:
    """Return a method of the state so that the bell rings when what it did can be found by others."""

    @wraps(stock)
    def rings(self: SqlLinkState, *args: Any, **words: Any) -> Any:
        with self.session() as session:  # the one around it, where there is one
            event.listen(session, "after_commit", lambda _: bell.ring(), once=True)
            return stock(self, *args, **words)

    return rings


def install() -> None:
    """Hold the executor's question, and let the state ring when it has a new task."""
    bell = Bell()
    for name in ("create_run", "create_task"):
        setattr(SqlLinkState, name, ringing(getattr(SqlLinkState, name), bell))
    vars(runtime_handlers)["acquire_task"] = held(runtime_handlers.acquire_task, bell, HOLD)
