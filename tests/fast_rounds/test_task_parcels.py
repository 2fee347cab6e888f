"""A ClientApp's message comes with its task and its reply goes with the task's end, where its SuperNode does that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import httpx
import pytest
from flwr.app.message.arraychunk import ArrayChunk
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    Message,
    Metadata,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PullTaskInputRequest,
    PullTaskInputResponse,
    PushAppMessagesRequest,
    PushAppMessagesResponse,
    PushTaskOutputRequest,
    PushTaskOutputResponse,
)
from flwr.supercore.inflatable.inflatable_object import get_object_id

from fast_rounds import parcel_client, parcel_server, parcels, task_parcel_client, task_parcel_server
from fast_rounds.bell import Bell
from fast_rounds.direct import Route

CONTENT = ArrayChunk(memoryview(b"x" * 50)).deflate()
OBJECT = get_object_id(CONTENT)
TASK = 5


class Store(dict[str, bytes]):
    """Objects of a SuperNode, where deleting is as flwr has it."""

    def delete(self, object_id: str) -> None:
        self.pop(object_id, None)


class SuperNode:
    """The handlers of one, which note what they are asked and what they find; `bell` rings as its state does."""

    def __init__(self) -> None:
        self.object_store = Store({OBJECT: CONTENT})
        self.done: list[Any] = []
        self.bell = Bell()
        self.fails = False

    def pull_task_input(self, request: PullTaskInputRequest, state: Any, task: int) -> PullTaskInputResponse:
        self.done.append(("input", task))
        return PullTaskInputResponse(task_id=task)

    def pull_messages(self, request: PullAppMessagesRequest, state: Any, task: int) -> PullAppMessagesResponse:
        self.done.append(("message", task))
        return PullAppMessagesResponse(
            messages_list=[Message(metadata=Metadata(message_id=OBJECT))],
            message_object_trees=[ObjectTree(object_id=OBJECT)],
        )

    def push_messages(self, request: PushAppMessagesRequest, state: Any, task: int) -> PushAppMessagesResponse:
        self.done.append(("reply", [one.metadata.message_id for one in request.messages_list]))
        self.bell.ring()
        if self.fails:
            raise ValueError("not for this run")
        return PushAppMessagesResponse(objects_to_push=[OBJECT], session_id="session")

    def push_task_output(self, request: PushTaskOutputRequest, state: Any, task: int) -> PushTaskOutputResponse:
        self.done.append(("output", request.sub_status))
        self.bell.ring()
        return PushTaskOutputResponse()

    def store_object(self, run_id: int, session_id: str, object_id: str, content: bytes) -> bool:
        self.done.append(("object", object_id))
        return True

    def routes(self) -> dict[str, Route]:
        handlers: dict[str, Callable[..., Any]] = {
            task_parcel_server.INPUT: self.pull_task_input,
            task_parcel_server.OUTPUT: self.push_task_output,
            task_parcel_server.PULL: self.pull_messages,
            task_parcel_server.PUSH: self.push_messages,
        }
        names = frozenset({"request", "state", "task"})
        return {path: Route(handler, names, lambda _: {}) for path, handler in handlers.items()}


class Client:
    """Flwr's client, to a SuperNode in this process; `asked` are its requests."""

    def __init__(self, node: SuperNode, stock: bool = False) -> None:
        self.node, self.asked = node, list[str]()
        self.routes = node.routes()
        if not stock:
            with_objects = parcel_server.install(
                self.routes,
                lambda _: parcel_server.from_memory,
                lambda _: parcel_server.into_memory,
                lambda _: node.bell.held(),
            )
            self.routes = task_parcel_server.install(with_objects, node.bell.held)
        vars(node).setdefault("get", node.object_store.get)

    def _ask(self, path: str, request: Any) -> Any:
        self.asked.append(path.rpartition("/")[2])
        given = type(request).FromString(request.SerializeToString())
        response = self.routes[path].handler(request=given, state=self.node, task=TASK)
        return type(response).FromString(response.SerializeToString())

    def PullTaskInput(self, request: PullTaskInputRequest) -> PullTaskInputResponse:  # noqa: N802 - as flwr's client
        answer: PullTaskInputResponse = self._ask(task_parcel_server.INPUT, request)
        return answer

    def PushTaskOutput(self, request: PushTaskOutputRequest) -> PushTaskOutputResponse:  # noqa: N802
        answer: PushTaskOutputResponse = self._ask(task_parcel_server.OUTPUT, request)
        return answer

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:  # noqa: N802
        answer: PullAppMessagesResponse = self._ask(task_parcel_server.PULL, request)
        return answer

    def PushMessages(self, request: PushAppMessagesRequest) -> PushAppMessagesResponse:  # noqa: N802
        answer: PushAppMessagesResponse = self._ask(task_parcel_server.PUSH, request)
        return answer

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:  # noqa: N802
        self.asked.append("pull-object")
        return PullObjectResponse(object_found=True, object_available=True, object_content=CONTENT)

    def ConfirmMessageReceived(  # noqa: N802
        self, request: ConfirmMessageReceivedRequest
    ) -> ConfirmMessageReceivedResponse:
        self.asked.append("confirm-message-received")
        return ConfirmMessageReceivedResponse()


@pytest.fixture
def client() -> type[Client]:
    made: type[Client] = type("OfAClientApp", (Client,), {})
    task_parcel_client.install(made)
    parcel_client.install(made)
    return made


def take_part(client: Client, size: int = 50) -> PullAppMessagesResponse:
    """Do what flwr's ClientApp does with its client, with a reply of `size` bytes; return its message."""
    assert client.PullTaskInput(PullTaskInputRequest()).task_id == TASK
    message = client.PullMessages(PullAppMessagesRequest())
    assert client.PullObject(PullObjectRequest(object_id=OBJECT)).object_content == CONTENT
    client.ConfirmMessageReceived(ConfirmMessageReceivedRequest(message_object_id=OBJECT))
    content = ArrayChunk(memoryview(b"y" * size)).deflate()
    tree = ObjectTree(object_id=get_object_id(content))
    reply = Message(metadata=Metadata(message_id="reply"))
    with parcel_client.sending(lambda limit: parcel_client._up_to(limit, [(tree.object_id, content)])):
        client.PushMessages(PushAppMessagesRequest(messages_list=[reply], message_object_trees=[tree]))
    client.PushTaskOutput(PushTaskOutputRequest(sub_status="completed"))
    return message


def test_a_task_is_two_requests(client: type[Client]) -> None:
    node = SuperNode()
    one = client(node)
    assert take_part(one) == node.pull_messages(PullAppMessagesRequest(), None, TASK)
    assert one.asked == ["pull-task-input", "push-task-output"]
    assert [what for what, _ in node.done] == ["input", "message", "reply", "output", "message"]
    assert node.object_store == {}  # the message is confirmed
    assert node.bell.rings == 1  # for the reply and the task's end


def test_a_reply_that_is_too_large_goes_the_stock_way(client: type[Client]) -> None:
    one = client(SuperNode())
    take_part(one, size=parcels.LIMIT + 1)
    assert one.asked == ["pull-task-input", "push-messages", "push-task-output"]


def test_a_stock_supernode_is_asked_as_ever(client: type[Client]) -> None:
    node = SuperNode()
    one = client(node, stock=True)
    take_part(one)
    assert one.asked == [
        "pull-task-input",
        "pull-messages",
        "pull-object",
        "confirm-message-received",
        "push-messages",
        "push-task-output",
    ]
    assert [what for what, _ in node.done] == ["input", "message", "reply", "output"]


def test_a_stock_clientapp_is_answered_as_ever() -> None:
    node = SuperNode()
    one = Client(node)
    take_part(one)
    assert len(one.asked) == 6
    assert [what for what, _ in node.done] == ["input", "message", "reply", "output"]
    assert OBJECT in node.object_store  # until it is confirmed


def test_a_task_ends_also_where_its_reply_is_refused(client: type[Client]) -> None:
    node = SuperNode()
    node.fails = True
    with pytest.raises(ValueError, match="not for this run"):
        take_part(client(node))
    assert node.done[-1] == ("output", "completed")


def test_a_connection_that_was_closed_meanwhile_costs_no_reply(
    client: type[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = SuperNode()
    one, stock, tries = client(node), Client._ask, list[str]()

    def closed_once(self: Client, path: str, request: Any) -> Any:
        if path == task_parcel_server.OUTPUT:
            tries.append(path)
            if len(tries) == 1:
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        return stock(self, path, request)

    monkeypatch.setattr(Client, "_ask", closed_once)
    take_part(one)
    assert len(tries) == 2
    assert ("reply", ["reply"]) in node.done
    assert ("output", "completed") in node.done


def test_where_a_handler_is_missing_nothing_is_enclosed() -> None:
    routes = SuperNode().routes()
    del routes[task_parcel_server.PUSH]
    assert task_parcel_server.install(routes, nullcontext) == routes


def test_a_bell_that_is_held_within_another_rings_in_the_end() -> None:
    bell = Bell()
    with bell.held():
        with bell.held():
            bell.ring()
        assert bell.rings == 0
        bell.ring()
    assert bell.rings == 1
