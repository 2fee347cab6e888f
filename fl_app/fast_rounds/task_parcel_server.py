"""A SuperNode gives a ClientApp its message with the rest of its task, and takes the reply with the task's end.

Stock's ClientApp asks for its context, then for its message, confirms that, sends its reply, and then its context: each
is a request, and the handlers of the first two, and of the last two, are called one after the other here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import wraps
from typing import Any

from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PushAppMessagesRequest

from fast_rounds import parcels
from fast_rounds.direct import Route

INPUT, OUTPUT = "/v1/runtime/pull-task-input", "/v1/runtime/push-task-output"
PULL, PUSH = "/v1/runtime/pull-messages", "/v1/runtime/push-messages"


def install(routes: dict[str, Route], whole: Callable[[], AbstractContextManager[Any]]) -> dict[str, Route]:
    """Return the routes so that messages come and go with tasks; what one request does is done within `whole`."""
    changed = dict(routes)
    if {INPUT, OUTPUT, PULL, PUSH} <= routes.keys():
        changed[INPUT] = replace(routes[INPUT], handler=_input(routes[INPUT].handler, routes[PULL]))
        changed[OUTPUT] = replace(routes[OUTPUT], handler=_output(routes[OUTPUT].handler, routes[PUSH], whole))
    return changed


def _words(route: Route, words: dict[str, Any]) -> dict[str, Any]:
    return {name: words[name] for name in route.names - {"request"}}


def _input(handler: Callable[..., Any], pull: Route) -> Any:
    @wraps(handler)
    def pull_task_input(request: Any, **words: Any) -> Any:
        takes = parcels.detach(request).takes
        response = handler(request=request, **words)
        if takes:
            asked = PullAppMessagesRequest()
            parcels.attach(asked, takes=takes)
            parcels.attach(response, enclosed=pull.handler(request=asked, **_words(pull, words)))
        return response

    return pull_task_input


def _output(handler: Callable[..., Any], push: Route, whole: Callable[[], AbstractContextManager[Any]]) -> Any:
    @wraps(handler)
    def push_task_output(request: Any, **words: Any) -> Any:
        enclosed = parcels.detach(request).enclosed
        if not enclosed:
            return handler(request=request, **words)
        with whole():
            try:
                push.handler(request=PushAppMessagesRequest.FromString(enclosed), **_words(push, words))
            finally:
                response = handler(request=request, **words)  # whatever became of the reply, the task has ended
        return response

    return push_task_output
