"""Who asks for messages and sends replies, SuperNode, ClientApp and Grid: objects come and go with them.

What has come is given from memory when flwr asks for it. Where nothing came, from a stock SuperLink, say, flwr asks.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from types import ModuleType
from typing import Any

from flwr.app import Message
from flwr.app.message.arraychunk import ArrayChunk
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, iterate_object_tree
from flwr.supercore.object_store import ObjectStore

from fast_rounds import parcels

Contents = Iterator[tuple[str, bytes]]
_sending: ContextVar[Callable[[int], Contents] | None] = ContextVar("sending", default=None)
_arrived: ContextVar[Container[str]] = ContextVar("arrived", default=())


@contextmanager
def sending(contents: Callable[[int], Contents]) -> Iterator[None]:
    """Let the messages that are pushed within take objects along; `contents` gives them, up to so many bytes in all."""
    token = _sending.set(contents)
    try:
        yield
    finally:
        _sending.reset(token)


def sending_objects(messages: list[Message]) -> AbstractContextManager[None]:
    """Let these messages, when they are pushed within, take their objects along."""
    return sending(lambda limit: _of_messages(messages, limit))


def at_hand(object_ids: Iterable[str]) -> bool:
    """Return whether all these came with what was pulled last in this thread: to pull them takes no time."""
    arrived = _arrived.get()
    return all(object_id in arrived for object_id in object_ids)


def _came(client: Any) -> parcels.Parcel:
    """Return what came last through a client, and what the other side takes."""
    kept: parcels.Parcel = vars(client).setdefault("_parcel", parcels.Parcel())
    return kept


def install(client: type) -> None:
    """Let a client of the Fleet or Runtime API take objects with messages, and send them so where they are taken."""
    names = ("PullMessages", "PullObject", "ConfirmMessageReceived", "PushMessages")
    stock: dict[str, Any] = {name: getattr(client, name) for name in names}

    @wraps(stock["PullMessages"])
    def pull_messages(self: Any, request: Any) -> Any:
        asked = type(request).FromString(request.SerializeToString())  # it may be asked once more
        parcels.attach(asked, takes=parcels.LIMIT)
        known = _came(self)
        known.objects, known.confirmed = {}, set()
        response = stock["PullMessages"](self, asked)
        parcel = parcels.detach(response)
        known.objects, known.confirmed = parcel.objects, parcel.confirmed
        _arrived.set(known.objects)
        if response.messages_list:
            known.takes = parcel.takes
        return response

    @wraps(stock["PullObject"])
    def pull_object(self: Any, request: PullObjectRequest) -> Any:
        content = _came(self).objects.get(request.object_id)
        if content is None:
            return stock["PullObject"](self, request)
        return PullObjectResponse(object_found=True, object_available=True, object_content=content)

    @wraps(stock["ConfirmMessageReceived"])
    def confirm_message_received(self: Any, request: ConfirmMessageReceivedRequest) -> Any:
        if request.message_object_id in _came(self).confirmed:
            return ConfirmMessageReceivedResponse()
        return stock["ConfirmMessageReceived"](self, request)

    @wraps(stock["PushMessages"])
    def push_messages(self: Any, request: Any) -> Any:
        contents, takes = _sending.get(), _came(self).takes
        _came(self).objects = {}  # the message is answered: they were needed before
        _arrived.set(())
        if contents is not None and takes:
            given = type(request).FromString(request.SerializeToString())
            parcels.attach(given, contents(takes))
            request = given
        return stock["PushMessages"](self, request)

    functions = (pull_messages, pull_object, confirm_message_received, push_messages)
    for name, function in zip(names, functions, strict=True):
        setattr(client, name, function)


def install_nodes(client: type) -> None:
    """Let a ServerApp learn what its SuperLink takes before it sends its first messages: from its list of nodes."""
    stock = vars(client)["GetNodes"]

    @wraps(stock)
    def get_nodes(self: Any, request: Any) -> Any:
        response = stock(self, request)
        _came(self).takes = parcels.detach(response).takes
        return response

    setattr(client, "GetNodes", get_nodes)  # noqa: B010


def install_app(module: ModuleType) -> None:
    """Let a ClientApp's reply take its objects along; `module` is flwr's run_clientapp."""
    stock = vars(module)["push_message"]

    def push_message(client: Any, message: Message, context: Any) -> None:
        with sending_objects([message]):
            stock(client, message, context)

    vars(module)["push_message"] = push_message


def install_grid(grid: type) -> None:
    """Let the messages of flwr's Grid take their objects along."""
    stock = vars(grid)["_try_push_messages"]

    @wraps(stock)
    def try_push_messages(self: Any, run_id: int, messages: Iterable[Message]) -> Any:
        several = list(messages)
        with sending_objects(several):
            return stock(self, run_id, several)

    setattr(grid, "_try_push_messages", try_push_messages)  # noqa: B010


def with_objects(send: Callable[..., Any], store: ObjectStore) -> Callable[..., Any]:
    """Return the SuperNode's `send` so that a reply takes along what its ClientApp has handed in by then."""

    def sends(message: Message, object_tree: ObjectTree, runtime: float) -> Any:
        def contents(limit: int) -> Contents:
            return _up_to(limit, ((tree.object_id, store.get(tree.object_id)) for tree in _once(object_tree)))

        with sending(contents):
            return send(message, object_tree, runtime)

    return sends


def _once(tree: ObjectTree) -> Iterator[ObjectTree]:
    seen = set()
    for node in iterate_object_tree(tree):
        if node.object_id not in seen:
            seen.add(node.object_id)
            yield node


def _of_messages(messages: Iterable[Message], limit: int) -> Contents:
    objects = {name: value for message in messages for name, value in get_all_nested_objects(message).items()}
    small = (
        (object_id, one.deflate())
        for object_id, one in objects.items()
        if not isinstance(one, ArrayChunk) or len(one.data) <= limit
    )
    return _up_to(limit, small)


def _up_to(limit: int, contents: Iterable[tuple[str, bytes | None]]) -> Contents:
    """Yield those that are there and fit in; a large one leaves room for smaller ones."""
    for object_id, content in contents:
        if content and len(content) <= limit:
            limit -= len(content)
            yield object_id, content
