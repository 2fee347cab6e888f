"""Who is asked for messages: SuperLink and SuperNode hand their objects out with them, and take them with replies.

A message whose objects all went along is received: it need not be confirmed in a request of its own. A SuperNode gives
a ClientApp its message with the rest of its task, and takes the reply with the task's end (`task_parcel_server.py`).

Flower's own handlers do the rest, unchanged: they see a message without objects, as stock's clients send it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial, wraps
from typing import Any

from fast_rounds import parcels
from fast_rounds.direct import Route

PULL, PUSH, NODES = "/pull-messages", "/push-messages", "/get-nodes"
Objects = dict[str, bytes]
Give = Callable[[Any, int, list[str], int], Objects]  # of a state and a run, of these ids, up to so many bytes
Take = Callable[[Any, int, str, Objects], set[str]]  # into a state, of a run and a session; those that were taken


def install(
    routes: dict[str, Route],
    give: Callable[[str], Give],
    take: Callable[[str], Take],
    whole: Callable[[Any], AbstractContextManager[Any]],
) -> dict[str, Route]:
    """Return the routes so that messages come and go with their objects.

    `give` and `take` are asked for with a route's path; what one request does is done within `whole` of the state.
    """
    changed = dict(routes)
    for path, route in routes.items():
        handler = route.handler
        if path.endswith(PULL):
            changed[path] = replace(route, handler=_pull(handler, give(path), whole))
        elif path.endswith(PUSH):
            changed[path] = replace(route, handler=_push(handler, take(path), whole))
        elif path.endswith(NODES):
            changed[path] = replace(route, handler=_says_what_it_takes(handler))
    return changed


def _pull(handler: Callable[..., Any], give: Give, whole: Callable[[Any], AbstractContextManager[Any]]) -> Any:
    @wraps(handler)
    def pull(request: Any, state: Any, **words: Any) -> Any:
        takes = parcels.detach(request).takes
        if not takes:
            return handler(request=request, state=state, **words)
        with whole(state):
            response = handler(request=request, state=state, **words)
            if response.messages_list:  # else it stays empty, and is held
                run_id = response.messages_list[0].metadata.run_id
                given = give(state, run_id, parcels.ids_of(response.message_object_trees), takes)
                trees = response.message_object_trees
                confirmed = [tree.object_id for tree in trees if given.keys() >= set(parcels.ids_of([tree]))]
                for message_id in confirmed:
                    state.object_store.delete(message_id)  # as the handlers of ConfirmMessageReceived do
                parcels.attach(response, given.items(), takes=parcels.LIMIT, confirmed=confirmed)
        return response

    return pull


def _push(handler: Callable[..., Any], take: Take, whole: Callable[[Any], AbstractContextManager[Any]]) -> Any:
    @wraps(handler)
    def push(request: Any, state: Any, **words: Any) -> Any:
        objects = parcels.detach(request).objects
        if not objects:
            return handler(request=request, state=state, **words)
        with whole(state):
            response = handler(request=request, state=state, **words)
            missing = list(response.objects_to_push)
            wanted = {object_id: objects[object_id] for object_id in missing if object_id in objects}
            if wanted:
                taken = take(state, request.messages_list[0].metadata.run_id, response.session_id, wanted)
                del response.objects_to_push[:]
                response.objects_to_push.extend(object_id for object_id in missing if object_id not in taken)
        return response

    return push


def _says_what_it_takes(handler: Callable[..., Any]) -> Any:
    @wraps(handler)
    def said(**words: Any) -> Any:
        response = handler(**words)
        parcels.attach(response, takes=parcels.LIMIT)
        return response

    return said


def from_memory(state: Any, run_id: int, ids: list[str], limit: int) -> Objects:
    """Give objects of a SuperNode."""
    given: Objects = {}
    for object_id in ids:
        content = state.object_store.get(object_id)
        if content and len(content) <= limit:
            limit -= len(content)
            given[object_id] = content
    return given


def into_memory(state: Any, run_id: int, session_id: str, objects: Objects) -> set[str]:
    """Take objects into a SuperNode, as its handler does one by one."""
    store = partial(state.store_object, run_id, session_id)
    return {object_id for object_id, content in objects.items() if store(object_id, content)}
