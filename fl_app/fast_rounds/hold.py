"""A SuperLink holds a question for messages until there is one, for some seconds, where who asks wants that.

It waits in the event loop, not in a thread. Whoever is asked again is authenticated again, so that a SuperNode that was
taken out meanwhile is told nothing. Who has gone is given no message: it would be lost.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from types import FrameType
from typing import Any

from flwr.proto.fleet_pb2 import PullMessagesRequest
from google.protobuf.message import DecodeError
from starlette.types import Receive, Scope

HOLD = "fast-rounds-hold"  # the request's header: seconds
HELD = "fast-rounds-held"  # the answer's header
LONGEST = 10.0  # seconds; an asker's own limit is 30
NODE, GRID = "/v1/fleet/pull-messages", "/v1/runtime/pull-messages"
REPLIES = 0  # what Grids wait for; SuperNodes wait for what has their id


@dataclass(frozen=True)
class Answer:
    """An answer's bytes, and whether its question was held until then."""

    content: bytes
    held: bool


class Holds:
    """The questions that wait, by what they wait for."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    def ring(self, what: int) -> None:
        """Have those asked again who wait for this; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, [what])

    def close(self) -> None:
        """The process ends: hold nobody any longer."""
        self._closing = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, list(self._waiting))

    def _wake(self, whats: list[int]) -> None:
        for what in whats:
            for event in self._waiting.get(what, ()):
                event.set()

    @contextmanager
    def _listening(self, what: int) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._waiting[what].add(event)
        try:
            yield event
        finally:
            self._waiting[what].discard(event)
            if not self._waiting[what]:
                del self._waiting[what]

    async def answer(
        self, scope: Scope, body: bytes, ask: Callable[[], Awaitable[bytes]], receive: Receive
    ) -> Answer | None:
        """Return the answer to a request: the first that is not empty, or what there is in time; None: nobody waits."""
        seconds = _seconds(scope)
        if not seconds or self._closing:
            return Answer(await ask(), held=False)
        self._loop = asyncio.get_running_loop()
        end = self._loop.time() + seconds
        gone = asyncio.ensure_future(receive())
        try:
            with self._listening(_awaited(scope["path"], body)) as event:
                while True:
                    event.clear()
                    content = await ask()
                    left = end - self._loop.time()
                    if content or left <= 0 or self._closing:
                        return Answer(content, held=not self._closing)
                    rung = asyncio.ensure_future(event.wait())
                    try:
                        await asyncio.wait({rung, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        rung.cancel()
                    if gone.done():
                        return None
        finally:
            gone.cancel()


def _seconds(scope: Scope) -> float:
    """Return for how long a question may be held: 0 where it is none, or where who asks does not want that."""
    if scope["path"] not in (NODE, GRID):
        return 0.0
    try:
        wanted = float(dict(scope["headers"]).get(HOLD.encode(), b"0"))
    except ValueError:
        return 0.0
    return min(wanted, LONGEST) if wanted > 0 else 0.0  # what is not a number is not greater


def _awaited(path: str, body: bytes) -> int:
    try:
        return PullMessagesRequest.FromString(body).node.node_id if path == NODE else REPLIES
    except DecodeError:
        return REPLIES  # it is refused when it is asked


def install(holds: Holds) -> None:
    """Let a SuperLink's state ring when it has a message or a reply, and its end let go of all who wait."""
    import uvicorn
    from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
    from sqlalchemy import event

    stock_store = SqlLinkState.store_message_and_object_tree

    @wraps(stock_store)
    def store(self: Any, message: Any, *args: Any, **words: Any) -> Any:
        reply = bool(message.metadata.reply_to_message_id)
        what = REPLIES if reply else int(message.metadata.dst_node_id)
        with self.session() as session:  # the one around it, where there is one: it is to be found by who is woken
            event.listen(session, "after_commit", lambda _: holds.ring(what), once=True)
            return stock_store(self, message, *args, **words)

    SqlLinkState.store_message_and_object_tree = store  # type: ignore[method-assign]
    stock_exit = uvicorn.Server.handle_exit

    @wraps(stock_exit)
    def handle_exit(self: uvicorn.Server, sig: int, frame: FrameType | None) -> None:
        stock_exit(self, sig, frame)
        holds.close()

    setattr(uvicorn.Server, "handle_exit", handle_exit)  # noqa: B010
