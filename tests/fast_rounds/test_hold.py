"""A SuperLink holds questions for messages until there is one, and gives none to who has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.node_pb2 import Node

from fast_rounds.asking import Asking
from fast_rounds.hold import GRID, HELD, HOLD, NODE, REPLIES, Answer, Holds

BODY = PullMessagesRequest(node=Node(node_id=7)).SerializeToString()
PATIENT = 10.0  # seconds: more than any of these tests takes


def scope(path: str = NODE, seconds: str | None = str(PATIENT)) -> dict[str, Any]:
    return {"path": path, "headers": [] if seconds is None else [(HOLD.encode(), seconds.encode())]}


class Asked:
    """Something that has no messages until it is given one; and somebody who stays until he goes."""

    def __init__(self) -> None:
        self.message = b""
        self.times = 0
        self.asked = asyncio.Event()
        self.leaves = asyncio.Event()

    async def __call__(self) -> bytes:
        self.times += 1
        self.asked.set()
        return self.message

    async def receive(self) -> dict[str, str]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


Told = Callable[[Holds, Asked], Awaitable[None]]


def held(then: Told, what: dict[str, Any] | None = None, body: bytes = BODY) -> tuple[Answer | None, Asked]:
    """Ask once; when that was answered with nothing, do `then`; return the answer and what was asked."""

    async def ask() -> tuple[Answer | None, Asked]:
        holds, asked = Holds(), Asked()
        answering = asyncio.ensure_future(holds.answer(what or scope(), body, asked, asked.receive))
        await asked.asked.wait()
        await then(holds, asked)
        return await asyncio.wait_for(answering, PATIENT / 2), asked

    return asyncio.run(ask())


@pytest.mark.parametrize(("path", "rung"), [(NODE, 7), (GRID, REPLIES)])
def test_a_question_is_answered_when_there_is_a_message(path: str, rung: int) -> None:
    async def message(holds: Holds, asked: Asked) -> None:
        asked.message = b"message"
        await asyncio.to_thread(holds.ring, rung)

    answer, asked = held(message, scope(path))
    assert answer == Answer(b"message", held=True)
    assert asked.times == 2


def test_a_message_of_another_node_wakes_nobody() -> None:
    async def others(holds: Holds, asked: Asked) -> None:
        holds.ring(8)
        await asyncio.sleep(0)
        asked.message = b"message"
        holds.ring(7)

    answer, asked = held(others)
    assert answer == Answer(b"message", held=True)
    assert asked.times == 2


def test_a_message_that_comes_while_it_is_asked_for_is_not_missed() -> None:
    async def ask() -> Answer | None:
        holds, asked = Holds(), Asked()

        async def asks() -> bytes:
            found = await asked()
            asked.message = b"message"  # just too late
            holds.ring(7)
            await asyncio.sleep(0)
            return found

        return await asyncio.wait_for(holds.answer(scope(), BODY, asks, asked.receive), PATIENT / 2)

    assert asyncio.run(ask()) == Answer(b"message", held=True)


def test_who_has_gone_is_not_asked_for_again() -> None:
    async def leave(holds: Holds, asked: Asked) -> None:
        asked.leaves.set()
        await asyncio.sleep(0)

    answer, asked = held(leave)
    assert answer is None
    assert asked.times == 1


def test_the_end_of_the_superlink_holds_nobody() -> None:
    async def close(holds: Holds, asked: Asked) -> None:
        holds.close()

    assert held(close)[0] == Answer(b"", held=False)


async def nothing(holds: Holds, asked: Asked) -> None:
    """Let it wait."""


def test_nothing_is_answered_when_the_time_is_over() -> None:
    assert held(nothing, scope(seconds="0.2"))[0] == Answer(b"", held=True)


@pytest.mark.parametrize(
    "what",
    [
        scope(seconds=None),
        scope("/v1/fleet/push-messages"),
        *(scope(seconds=wrong) for wrong in ("0", "-1", "nan", "soon", "\xff")),
    ],
)
def test_only_a_question_for_messages_is_held_and_only_where_that_is_wanted(what: dict[str, Any]) -> None:
    answer, asked = held(nothing, what)
    assert answer == Answer(b"", held=False)
    assert asked.times == 1


class Stock:
    """An interceptor as flwr's."""

    def intercept(self, context: Any, call_next: Callable[[Any], Any]) -> Any:
        return call_next(context)


def test_who_asks_says_for_how_long_and_knows_whether_it_was_held() -> None:
    module = ModuleType("connection")
    vars(module)["Interceptor"] = Stock
    asking = Asking(GRID)
    asking.install(module, "Interceptor")

    def ask(path: str, answered: dict[str, str]) -> str | None:
        request = SimpleNamespace(url=SimpleNamespace(path=path), headers={})
        context = SimpleNamespace(request=request)
        vars(module)["Interceptor"]().intercept(context, lambda _: SimpleNamespace(headers=answered))
        wanted: str | None = request.headers.get(HOLD)
        return wanted

    assert ask(GRID, {}) is None  # an app that asks by itself is answered at once
    with asking.held_for(1.5):
        assert ask(GRID, {HELD: "1"}) == "1.500"
        assert asking.held
        assert ask("/v1/runtime/push-object", {}) is None
        assert asking.held
        assert ask(GRID, {}) == "1.500"  # stock's SuperLink
        assert not asking.held
    assert ask(GRID, {}) is None
