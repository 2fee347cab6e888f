"""A message and its objects in one request, where both sides know of it; and the stock way where one does not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flwr.app.message.arraychunk import ArrayChunk
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse, PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    Message,
    Metadata,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.supercore.inflatable.inflatable_object import get_object_id

from bench.fleet import Fleet
from fast_rounds import objects, parcel_client, parcel_database, parcel_server, parcels
from fast_rounds.direct import Route
from link_state import link, rows

RUN = 7


def an_object(size: int, filled: bytes = b"x") -> tuple[str, bytes]:
    content = ArrayChunk(memoryview(filled * size)).deflate()
    return get_object_id(content), content


def of_a_run(objects: dict[str, bytes]) -> dict[str, Any]:
    return {
        "messages_list": [Message(metadata=Metadata(run_id=RUN))],
        "message_object_trees": [ObjectTree(object_id=object_id) for object_id in objects],
    }


def test_what_is_attached_is_taken_off_and_is_nothing_to_stock() -> None:
    given = dict([an_object(1), an_object(100_000)])
    message = PullMessagesResponse(**of_a_run({}))
    plain = message.SerializeToString()
    other = PullObjectRequest(object_id="two")
    parcels.attach(message, given.items(), takes=5, confirmed=["one"], enclosed=other)
    sent = message.SerializeToString()
    stock = PullMessagesResponse.FromString(sent)
    assert stock.messages_list == message.messages_list
    assert parcels.detach(stock) == parcels.Parcel(given, 5, {"one"}, other.SerializeToString())
    assert stock.SerializeToString() == plain
    assert parcels.detach(stock) == parcels.Parcel()


def test_what_is_no_parcel_is_left_out() -> None:
    message = PullMessagesRequest()
    parcels.attach(message, takes=2**40)  # more than this side takes
    message.MergeFromString(b"\xaa\xe8\x09\x02\xff\xff" + b"\xb2\xe8\x09\x01x" + b"\xf8\xff\x07\x01")
    assert parcels.detach(message) == parcels.Parcel({}, takes=parcels.LIMIT)


class Superlink:
    """A client of one that attaches `gives` to its messages, and takes `takes` bytes; all requests are kept.

    `confirms`: the messages that it takes for received.
    """

    def __init__(self, gives: dict[str, bytes], takes: int = parcels.LIMIT) -> None:
        self.gives, self.takes, self.confirms = gives, takes, list[str]()
        self.asked: list[str] = []
        self.brought: list[parcels.Parcel] = []

    def PullMessages(self, request: PullMessagesRequest) -> PullMessagesResponse:  # noqa: N802 - as flwr's client
        self.asked.append("PullMessages")
        assert parcels.detach(request).takes == parcels.LIMIT
        response = PullMessagesResponse(**of_a_run(self.gives))
        parcels.attach(response, self.gives.items() if self.takes else (), self.takes, self.confirms)
        return response

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:  # noqa: N802
        self.asked.append("PullObject")
        return PullObjectResponse(object_found=False)

    def ConfirmMessageReceived(  # noqa: N802
        self, request: ConfirmMessageReceivedRequest
    ) -> ConfirmMessageReceivedResponse:
        self.asked.append("ConfirmMessageReceived")
        return ConfirmMessageReceivedResponse()

    def PushMessages(self, request: PushMessagesRequest) -> PushMessagesResponse:  # noqa: N802
        self.asked.append("PushMessages")
        self.brought.append(parcels.detach(request))
        return PushMessagesResponse()


@pytest.fixture
def client() -> type[Superlink]:
    """Return a class of clients of its own, which knows of parcels."""
    made: type[Superlink] = type("Client", (Superlink,), {})
    parcel_client.install(made)
    return made


def test_what_came_with_a_message_is_not_asked_for(client: type[Superlink]) -> None:
    given = dict([an_object(10)])
    (object_id, content) = next(iter(given.items()))
    superlink = client(given)
    assert superlink.PullMessages(PullMessagesRequest()).messages_list
    answer = superlink.PullObject(PullObjectRequest(object_id=object_id))
    assert (answer.object_found, answer.object_available, answer.object_content) == (True, True, content)
    assert not superlink.PullObject(PullObjectRequest(object_id="another")).object_found
    assert superlink.asked == ["PullMessages", "PullObject"]
    superlink.gives = {}
    superlink.PullMessages(PullMessagesRequest())  # the next message: what came before is forgotten
    assert not superlink.PullObject(PullObjectRequest(object_id=object_id)).object_found


def test_a_message_is_confirmed_where_it_is_not_yet(client: type[Superlink]) -> None:
    superlink = client(dict([an_object(10)]))
    superlink.confirms = ["one"]
    superlink.PullMessages(PullMessagesRequest())
    for name in ("one", "another"):
        superlink.ConfirmMessageReceived(ConfirmMessageReceivedRequest(message_object_id=name))
    assert superlink.asked == ["PullMessages", "ConfirmMessageReceived"]
    superlink.confirms = []
    superlink.PullMessages(PullMessagesRequest())
    superlink.ConfirmMessageReceived(ConfirmMessageReceivedRequest(message_object_id="one"))
    assert superlink.asked[2:] == ["PullMessages", "ConfirmMessageReceived"]


def test_what_came_along_is_at_hand_until_the_message_is_answered(
    client: type[Superlink], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, threaded = ModuleType("run_clientapp"), list[list[str]]()

    def stock(object_ids: list[str], pull: Callable[[str], bytes], **settings: Any) -> dict[str, bytes]:
        threaded.append(object_ids)
        assert settings["max_time"] == 5
        return {object_id: b"" for object_id in object_ids}

    monkeypatch.setattr(objects, "pull_objects", stock)
    objects.install(module)
    pull = vars(module)["pull_objects"]
    there, other = an_object(10), an_object(20)
    superlink = client(dict([there]))
    superlink.PullMessages(PullMessagesRequest())
    assert pull([there[0]], lambda _: b"content", max_time=5) == {there[0]: b"content"}
    assert threaded == []
    pull([there[0], other[0]], lambda _: b"content", max_time=5)
    superlink.PushMessages(PushMessagesRequest())
    pull([there[0]], lambda _: b"content", max_time=5)
    assert threaded == [[there[0], other[0]], [there[0]]]


@pytest.mark.parametrize(("takes", "brought"), [(parcels.LIMIT, ["small", "large"]), (500, ["small"]), (0, [])])
def test_a_reply_brings_what_the_other_side_takes(client: type[Superlink], takes: int, brought: list[str]) -> None:
    named = {"small": an_object(10), "large": an_object(1000)}
    superlink = client({}, takes)
    superlink.PullMessages(PullMessagesRequest())
    with parcel_client.sending(lambda limit: parcel_client._up_to(limit, named.values())):
        superlink.PushMessages(PushMessagesRequest())
    superlink.PushMessages(PushMessagesRequest())
    assert [parcel.objects for parcel in superlink.brought] == [dict(named[name] for name in brought), {}]


def test_what_was_not_asked_of_a_superlink_before_is_sent_the_stock_way(client: type[Superlink]) -> None:
    superlink = client({})
    with parcel_client.sending(lambda limit: iter([an_object(1)])):
        superlink.PushMessages(PushMessagesRequest())
    assert superlink.brought == [parcels.Parcel()]


def of_a_superlink(path: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler as a SuperLink has it, with objects in its database."""
    routes = parcel_server.install(
        {path: Route(handler, frozenset({"request", "state"}), needs=lambda _: {})},
        parcel_database.give,
        parcel_database.take,
        lambda state: state.session(),
    )
    return routes[path].handler


def test_a_superlink_writes_what_comes_with_a_message_and_asks_for_the_rest(tmp_path: Path) -> None:
    state, (run, _) = link(tmp_path / "link.db")
    there, missing, false = an_object(10), an_object(20), an_object(30)
    known = [there[0], missing[0], false[0]]

    def handler(request: Any, state: Any) -> PushMessagesResponse:
        assert not parcels.detach(request).objects  # stock's handler sees none
        session = state.start_session(run)
        tree = ObjectTree(object_id=get_object_id(b"root"), children=[ObjectTree(object_id=one) for one in known])
        wanted = state.preregister_object_tree(tree, session)
        return PushMessagesResponse(objects_to_push=wanted, session_id=session)

    path = "/v1/runtime/push-messages"
    answer = of_a_superlink(path, handler)
    request = PushMessagesRequest(messages_list=[Message(metadata=Metadata(run_id=run))])
    parcels.attach(request, [there, (false[0], b"something else"), an_object(40)])
    response = answer(request=request, state=state)
    assert set(response.objects_to_push) == {missing[0], false[0], get_object_id(b"root")}
    assert [state.object_store.get(one) for one in known] == [there[1], b"", b""]
    (session,) = rows(state, [run])["object_push_sessions"]
    assert ("pending_count", 3) in session
    assert state.store_object(run, response.session_id, *missing)  # and these go on the stock way
    assert not state.store_object(run, response.session_id, *there)
    assert parcel_database.give(path)(state, run, known, parcels.LIMIT) == dict([there, missing])
    assert parcel_database.give(path)(state, run, known, len(missing[1]) - 1) == dict([there])


def test_a_push_session_ends_when_all_came_with_the_message(tmp_path: Path) -> None:
    state, (run, _) = link(tmp_path / "link.db")
    object_id, content = an_object(10)
    session = state.start_session(run)
    state.preregister_object_tree(ObjectTree(object_id=object_id), session)
    taken = parcel_database.take("/v1/runtime/push-messages")(state, run, session, {object_id: content})
    assert taken == {object_id}
    found = rows(state, [run])
    assert [found[table] for table in found if "session" in table] == [[], [], []]


@pytest.mark.parametrize("takes", [parcels.LIMIT, 60])
def test_a_message_is_received_when_all_its_objects_went_along(tmp_path: Path, takes: int) -> None:
    """`takes` 60 bytes: one of two."""
    state, (run, _) = link(tmp_path / "link.db")
    small, large = an_object(10), an_object(100)
    trees = [ObjectTree(object_id=object_id) for object_id, _ in (small, large)]
    session = state.start_session(run)
    for tree in trees:
        state.preregister_object_tree(tree, session)
    for object_id, content in (small, large):
        assert state.store_object(run, session, object_id, content)

    def handler(request: Any, state: Any) -> PullMessagesResponse:
        messages = [Message(metadata=Metadata(run_id=run))]
        return PullMessagesResponse(messages_list=messages, message_object_trees=trees)

    answer = of_a_superlink("/v1/runtime/pull-messages", handler)
    request = PullMessagesRequest()
    parcels.attach(request, takes=takes)
    came = parcels.detach(answer(request=request, state=state))
    gone = {small[0]} if takes == 60 else {small[0], large[0]}
    assert came.confirmed == came.objects.keys() == gone
    assert {object_id for object_id, _ in (small, large) if state.object_store.get(object_id) is None} == gone
    assert handler(request, state) == answer(request=PullMessagesRequest(), state=state)


def test_a_question_without_messages_stays_empty_so_that_it_is_held() -> None:
    path = "/v1/fleet/pull-messages"
    give: Callable[..., Any] = lambda *_: {}  # noqa: E731
    routes = parcel_server.install(
        {path: Route(lambda request, state: PullMessagesResponse(), frozenset({"request", "state"}), lambda _: {})},
        lambda _: give,
        lambda _: give,
        lambda _: nullcontext(),
    )
    request = PullMessagesRequest()
    parcels.attach(request, takes=parcels.LIMIT)
    assert routes[path].handler(request=request, state=None).SerializeToString() == b""


@pytest.mark.parametrize(("server", "devices"), [("stock", "fast"), ("fast", "stock")])
def test_one_side_may_be_stock(tmp_path: Path, server: str, devices: str) -> None:
    with Fleet(tmp_path / "fleet", 1, server=server, devices=devices) as fleet:
        result = fleet.run(rounds=1, torch=False, evaluate=False, limit=240)
    assert [reply["rounds"] for reply in result["replies"]] == [1]
