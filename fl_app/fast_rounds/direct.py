"""Requests of SuperNodes and apps go straight to Flower's handlers: one thread does all of it, one after the other.

On its way through FastAPI a request passes nine layers, is looked up in a tree of routers, and is handed from thread to
thread for each thing that its handler needs: three quarters of what a SuperLink computes. Here Flower's own functions
authenticate it and answer it. What is refused before its handler is called, and every other request, goes the stock
way from its beginning, so that a refusal is stock's; what a handler raises is translated by stock's translator.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.dependencies.runtime import get_runtime_handlers, get_runtime_state
from flwr.supercore.dependencies.superexec import authenticate_superexec_request
from flwr.supercore.dependencies.task import authenticate_task
from flwr.supercore.dependencies.version import VersionDependency
from flwr.supercore.error import http_error_translator
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES, ProtobufTranslationMiddleware
from flwr.supercore.routers.runtime.router import router as runtime
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from fast_rounds.hold import HELD, Answer, Holds

THREADS = 1  # one computes at a time, and SQLite has whoever finds it busy sleep a while and ask again
WAITING_THREADS = 40  # of handlers that may wait for something else, as many as FastAPI has for all
Needs = Callable[[Request], dict[str, Any]]
# What a handler asks for because of what that does around it: tracing is off here, and `Route.needs` authenticates.
UNUSED = frozenset({"_tracing", "_auth"})
ACQUIRE = "/v1/runtime/acquire-task"  # is held until there is a task
CONNECTOR = "/v1/runtime/get-connector"  # may ask another server


@dataclass(frozen=True)
class Route:
    """Flower's handler of a path, the names of what it takes, and what authenticates a request and finds that.

    `unused`: the names of what it takes and does not look at. `waits`: whether it may wait for something else.
    """

    handler: Callable[..., Any]
    names: frozenset[str]
    needs: Needs
    unused: frozenset[str] = frozenset()
    waits: bool = False


class RefusedError(Exception):
    """The handler was not called: the stock way tells why."""


def superlink() -> dict[str, Route]:
    """Return the routes of a SuperLink; none where an extension of Flower's has layers of its own."""
    from flwr.superlink import extensions
    from flwr.superlink.dependencies.linkstate import get_linkstate
    from flwr.superlink.routers.fleet.node_auth import authenticate_node
    from flwr.superlink.routers.fleet.router import router as fleet

    def of_a_node(request: Request) -> dict[str, Any]:
        if getattr(request.app.state, "fleet_event_log_plugin", None) is not None:
            raise RefusedError
        authenticate_node(request)
        return {"state": get_linkstate(request)}

    if extensions.get_middleware():
        return {}
    return _routes(fleet, of_a_node) | _runtime("SuperLink")


def supernode() -> dict[str, Route]:
    """Return the routes of a SuperNode."""
    return _runtime("SuperNode")


def _runtime(component: str) -> dict[str, Route]:
    """Return the routes of apps and their executor."""
    version = VersionDependency(component_name=component, connection_name=f"Caller <-> {component} Runtime API")

    def of_a_task(request: Request) -> dict[str, Any]:
        version(request)
        state = get_runtime_state(request)
        task = authenticate_task(request, request.headers.get(TASK_TOKEN_HEADER), state)
        return {"state": state, "task": task, "handlers": get_runtime_handlers(request)}

    def of_an_executor(request: Request) -> dict[str, Any]:
        version(request)
        state = get_runtime_state(request)
        authenticate_superexec_request(request, state, "/flwr.proto.Runtime/AcquireTask")
        return {"state": state, "handlers": get_runtime_handlers(request)}

    routes = _routes(runtime, of_a_task)
    if ACQUIRE in routes:
        routes[ACQUIRE] = replace(routes[ACQUIRE], needs=of_an_executor)
    return routes | {path: replace(routes[path], waits=True) for path in (ACQUIRE, CONNECTOR) if path in routes}


def _routes(router: Any, needs: Needs) -> dict[str, Route]:
    """Return those of a router whose handlers take no more than is found here."""
    found = {}
    for route in router.routes:
        handler = route.endpoint.__wrapped__
        names = frozenset(inspect.signature(handler).parameters)
        unused = names & UNUSED
        names -= unused
        if names <= {"request", "state", "task", "handlers"} and ("POST", route.path) in PROTOBUF_REQUEST_TYPES:
            found[route.path] = Route(handler, names, needs, unused)
    return found


def install(routes: dict[str, Route], holds: Holds | None = None) -> None:
    """Let FastAPI apps of this process answer these paths directly, unless requests are traced.

    Questions for messages are held by `holds` until there is one.
    """
    if os.getenv("FLWR_TRACING_ENABLED") == "1":
        return
    stock = FastAPI.__call__
    threads = ThreadPoolExecutor(THREADS, "direct")
    waiting = ThreadPoolExecutor(WAITING_THREADS, "direct-waiting")

    async def call(self: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
        route = routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None:
            await stock(self, scope, receive, send)
            return
        body = await _whole(receive)
        if body is None:
            return  # nobody waits for an answer
        request = Request({**scope, "app": self, "state": {**scope.get("state", {})}})

        async def ask() -> bytes:
            executor = waiting if route.waits else threads
            return await asyncio.get_running_loop().run_in_executor(executor, _answer, route, request, body)

        try:
            answer = await holds.answer(scope, body, ask, receive) if holds else Answer(await ask(), held=False)
            if answer is None:
                return  # nobody waits any longer
        except RefusedError:
            await stock(self, scope, _again(body, receive), send)
            return
        except Exception as raised:  # whatever it is: the translator knows them all
            response = await http_error_translator(request, _raises(raised))
        else:
            headers = {HELD: "1"} if answer.held else None
            response = Response(answer.content, headers=headers, media_type=PROTOBUF_MEDIA_TYPE)
        await response(scope, receive, send)

    FastAPI.__call__ = call  # type: ignore[method-assign]


def _answer(route: Route, request: Request, body: bytes) -> bytes:
    """Parse a request, authenticate it, have it handled; raises RefusedError until its handler is called."""
    try:
        ProtobufTranslationMiddleware._check_request_media_type(request)
        asked = ProtobufTranslationMiddleware._parse_request(body, PROTOBUF_REQUEST_TYPES["POST", request.url.path])
        request.state.protobuf_request = asked
        given = {"request": asked, **route.needs(request)}
    except Exception as refused:
        raise RefusedError from refused
    words = {name: given[name] for name in route.names} | dict.fromkeys(route.unused)
    content: bytes = route.handler(**words).SerializeToString()
    return content


async def _whole(receive: Receive) -> bytes | None:
    """Return the body of a request; None where it was cut off."""
    parts: list[bytes] = []
    more = True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            return None
        parts.append(event.get("body", b""))
        more = event.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was received once more, and then what follows."""
    given = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Message:
        return next(given, None) or await receive()

    return again


def _raises(error: Exception) -> Any:
    async def call_next(_: Request) -> Response:
        raise error

    return call_next
