"""The layers around each request of the Fleet and Runtime APIs: called one in another, without tasks of their own.

Flower puts nine of starlette's BaseHTTPMiddleware around each request to a SuperLink, and each starts two tasks and a
stream, so that an answer could be streamed: half of what a SuperLink computes. Here an answer is one message, and each
layer waits for it whole, and is left out where it only hands on. The Control API, which streams logs, is left as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from starlette.middleware.base import BaseHTTPMiddleware, _CachedRequest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

WHOLE = frozenset(path for _, path in PROTOBUF_REQUEST_TYPES if not path.startswith("/v1/control/"))


def _is_of_the_fleet(scope: Scope) -> bool:
    return bool(scope["path"].startswith("/v1/fleet/"))


# Whether a layer does anything to a request of WHOLE, as its own first lines say.
CONCERNED: dict[str, Callable[[Scope], bool]] = {
    "ControlSensitiveResponseMiddleware": lambda _: False,
    "ControlAuthenticationMiddleware": lambda _: False,
    "ControlLicenseMiddleware": lambda _: False,
    "ControlEventLogMiddleware": lambda _: False,
    "RuntimeTracingMiddleware": lambda _: os.getenv("FLWR_TRACING_ENABLED") == "1",
    "NodeAuthMiddleware": _is_of_the_fleet,
    "FleetEventLogMiddleware": lambda scope: (
        _is_of_the_fleet(scope) and getattr(scope["app"].state, "fleet_event_log_plugin", None) is not None
    ),
}


def install() -> None:
    """Let layers wait for the whole answer where it is one message."""
    stock = BaseHTTPMiddleware.__call__

    async def call(self: BaseHTTPMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in WHOLE:
            await stock(self, scope, receive, send)
            return
        if (concerned := CONCERNED.get(type(self).__name__)) and not concerned(scope):
            await self.app(scope, receive, send)
            return
        request = _CachedRequest(scope, receive)

        async def call_next(_: Request) -> Response:
            answer = _Answer()
            await self.app(scope, request.wrapped_receive, answer.take)
            return answer.response()

        response = await self.dispatch_func(request, call_next)
        await response(scope, request.wrapped_receive, send)

    BaseHTTPMiddleware.__call__ = call  # type: ignore[method-assign]


class _Answer:
    """What the layer inside sends."""

    def __init__(self) -> None:
        self.start: Message | None = None
        self.body: list[bytes] = []

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        elif message["type"] == "http.response.body":
            self.body.append(message.get("body", b""))

    def response(self) -> Response:
        if self.start is None:
            raise RuntimeError("No response returned.")
        response = Response(b"".join(self.body), self.start["status"])
        response.raw_headers = list(self.start["headers"])
        return response
