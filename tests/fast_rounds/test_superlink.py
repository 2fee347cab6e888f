"""A SuperLink with less work for each request answers as stock's does."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flwr.common.constant import NOOP_FLWR_AID, TIMESTAMP_HEADER
from flwr.proto.fleet_pb2 import PullMessagesRequest, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import PullObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.server.superlink import utils
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    FLEET_HTTP_SIGNATURE_HEADER,
    NOOP_FEDERATION_ID,
    TaskType,
)
from flwr.supercore.corestate.sql_corestate import SqlCoreState
from flwr.supercore.date import now
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.primitives.asymmetric import generate_key_pairs, public_key_to_bytes, sign_message
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.main import create_app
from flwr.superlink.servicer.fleet import fleet_handlers

from fast_rounds import direct, expiry, identity, run_status, traffic
from waits import wait_for

Answers = dict[tuple[str, str], tuple[int, bytes, dict[str, str]]]
PRIVATE, PUBLIC = generate_key_pairs()


def requests(node_id: int) -> list[tuple[str, bytes]]:
    """Every request of SuperNodes and apps, empty and broken, and some of a node's that are none of these."""
    node = Node(node_id=node_id)
    of_the_node: dict[str, Any] = {
        "send-node-heartbeat": SendNodeHeartbeatRequest(node=node, heartbeat_interval=30),
        "pull-messages": PullMessagesRequest(node=node),
        "push-messages": PushMessagesRequest(node=node),  # without a message: the handler raises
        "pull-object": PullObjectRequest(node=node, run_id=7, object_id="none"),
        "get-run": GetRunRequest(node=node, run_id=7),
    }
    paths = [path for _, path in PROTOBUF_REQUEST_TYPES if not path.startswith("/v1/control/")]
    asked = [(path, body) for path in paths for body in (b"", b"\xff\xff")]
    return asked + [(f"/v1/fleet/{name}", message.SerializeToString()) for name, message in of_the_node.items()]


async def answers(signed: bool, secret: bytes | None = None) -> Answers:
    """Return what a SuperLink says to each request, of nobody or signed by a node that it knows.

    `secret`: what its executors are asked to prove that they know.
    """
    app = create_app()
    app.state.superexec_auth_secret = secret
    key = public_key_to_bytes(PUBLIC)
    node_id = app.state.linkstate_factory.state().create_node(NOOP_FLWR_AID, "", key, 30)
    said: Answers = {}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://superlink") as client:
        for path, body in requests(node_id):
            headers = {"content-type": PROTOBUF_MEDIA_TYPE}
            if signed:
                at = now().isoformat()
                headers |= {
                    TIMESTAMP_HEADER: at,
                    FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(key).decode(),
                    FLEET_HTTP_SIGNATURE_HEADER: b64encode(sign_message(PRIVATE, at.encode())).decode(),
                }
            answer = await client.post(path, content=body, headers=headers)
            content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:.+]+", b"now", answer.content)
            case = "empty" if not body else "broken" if body == b"\xff\xff" else "whole"
            said[path, case] = (answer.status_code, content, dict(answer.headers))
    return said


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Install the direct way for this test; return the paths that went it to their handler, of each time it was."""
    went: list[str] = []
    stock = direct._answer

    def answer(route: direct.Route, request: Any, body: bytes) -> bytes:
        try:
            content = stock(route, request, body)
        except direct.RefusedError:
            raise
        except Exception:
            went.append(request.url.path)
            raise
        went.append(request.url.path)
        return content

    def install() -> list[str]:
        monkeypatch.setattr(FastAPI, "__call__", FastAPI.__call__)
        monkeypatch.setattr(direct, "_answer", answer)
        direct.install(direct.superlink())
        return went

    return install


@pytest.mark.parametrize(("signed", "secret"), [(False, None), (False, bytes(32)), (True, None)])
def test_the_direct_way_gives_stocks_answers(
    handled: Callable[[], list[str]], signed: bool, secret: bytes | None
) -> None:
    stock = asyncio.run(answers(signed, secret))
    went = handled()
    assert asyncio.run(answers(signed, secret)) == stock
    whole = {path.rsplit("/", 1)[1]: status for (path, case), (status, _, _) in stock.items() if case == "whole"}
    if signed:
        assert {f"/v1/fleet/{name}" for name in whole} <= set(went)
        assert whole.pop("send-node-heartbeat") == whole.pop("pull-messages") == 200
        assert all(status >= 400 for status in whole.values())
    else:
        assert went == ([] if secret else [direct.ACQUIRE])  # without a secret any executor of this machine may ask
        assert set(whole.values()) == {401}


def test_who_traces_requests_has_the_stock_way(
    handled: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_TRACING_ENABLED", "1")
    went = handled()
    asyncio.run(answers(signed=True))
    assert went == []


@pytest.fixture
def state(tmp_path: Path) -> SqlLinkState:
    made = SqlLinkState(str(tmp_path / "link.db"), NoOpFederationManager(), ObjectStoreFactory().store())
    made.initialize()
    return made


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[int]:
    """Count the calls of a function of stock's; it is put back after the test."""
    calls: list[int] = []
    stock = getattr(owner, name)

    def call(*args: Any, **words: Any) -> Any:
        calls.append(1)
        return stock(*args, **words)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_silent_tasks_are_looked_for_twice_a_second_and_found(
    state: SqlLinkState, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = counted(monkeypatch, SqlCoreState, "_cleanup_expired_task_tokens")
    clock = [1000.0]
    monkeypatch.setattr(expiry, "monotonic", lambda: clock[0])
    expiry.install()
    for _ in range(5):
        state.get_tasks()
    assert len(looked) == 1
    clock[0] += expiry.EVERY
    state.get_tasks()
    assert len(looked) == 2


def test_a_key_is_looked_up_once_and_unknown_when_its_node_was_taken_out(
    state: SqlLinkState, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = counted(monkeypatch, SqlLinkState, "get_node_id_by_public_key")
    monkeypatch.setattr(SqlLinkState, "delete_node", SqlLinkState.delete_node)
    identity.install()
    first, second = (state.create_node(NOOP_FLWR_AID, "", key, 30) for key in (b"first", b"second"))
    assert [state.get_node_id_by_public_key(b"first") for _ in range(3)] == [first] * 3
    assert state.get_node_id_by_public_key(b"second") == second
    assert [state.get_node_id_by_public_key(b"nobody's") for _ in range(2)] == [None] * 2
    assert len(looked) == 4  # of a key that is not known, each time: it may be by now
    state.delete_node(NOOP_FLWR_AID, first)
    assert state.get_node_id_by_public_key(b"first") is None
    assert state.get_node_id_by_public_key(b"second") == second


def test_a_key_that_was_read_while_its_node_was_taken_out_is_not_kept(
    state: SqlLinkState, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = SqlLinkState.get_node_id_by_public_key

    def meanwhile(self: SqlLinkState, public_key: bytes) -> int | None:
        found = stock(self, public_key)
        if found is not None:
            self.delete_node(NOOP_FLWR_AID, found)
        return found

    monkeypatch.setattr(SqlLinkState, "get_node_id_by_public_key", meanwhile)
    monkeypatch.setattr(SqlLinkState, "delete_node", SqlLinkState.delete_node)
    identity.install()
    node_id = state.create_node(NOOP_FLWR_AID, "", b"key", 30)
    assert state.get_node_id_by_public_key(b"key") == node_id
    assert state.get_node_id_by_public_key(b"key") is None


def a_run(state: SqlLinkState) -> int:
    return state.create_run(None, None, None, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP)


def test_a_run_that_goes_on_is_asked_for_ten_times_a_second(
    state: SqlLinkState, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason: list[str | None] = [None]
    asked: list[int] = []

    def stock(run_id: int, abort_status_list: list[str], state: object) -> str | None:
        asked.append(run_id)
        return reason[0]

    clock = [1000.0]
    monkeypatch.setattr(run_status, "monotonic", lambda: clock[0])
    monkeypatch.setattr(utils, "check_abort", stock)
    monkeypatch.setitem(vars(fleet_handlers), "check_abort", stock)  # put back after the test
    run_status.install()
    check = vars(fleet_handlers)["check_abort"]
    refused = sorted(run_status.ENDED)
    assert [check(run, refused, state) for run in (1, 1, 2, 1)] == [None] * 4
    assert asked == [1, 2]
    clock[0] += run_status.EVERY
    reason[0] = "it has ended"
    assert [check(1, refused, state) for _ in range(2)] == ["it has ended"] * 2  # asked for each time from now on
    assert asked == [1, 2, 1, 1]


def test_the_bytes_of_a_run_are_all_told_and_written_soon(state: SqlLinkState, monkeypatch: pytest.MonkeyPatch) -> None:
    written = counted(monkeypatch, SqlLinkState, "store_traffic")
    untouched = SqlLinkState.get_run_info
    monkeypatch.setattr(SqlLinkState, "get_run_info", SqlLinkState.get_run_info)
    traffic.install()
    first, second = a_run(state), a_run(state)
    for number in range(1, 11):
        state.store_traffic(first, bytes_sent=number, bytes_recv=0)
        state.store_traffic(second, bytes_sent=0, bytes_recv=2 * number)
    told = {run.run_id: (run.bytes_sent, run.bytes_recv) for run in state.get_run_info()}
    assert told == {first: (55, 0), second: (0, 110)}
    assert len(written) < 20
    state.store_traffic(first, bytes_sent=0, bytes_recv=5)
    wait_for(lambda: untouched(state, run_ids=[first])[0].bytes_recv == 5, "they are written with nobody asking")
    with pytest.raises(ValueError, match="Negative traffic"):
        state.store_traffic(first, bytes_sent=-1, bytes_recv=0)


def test_bytes_that_a_full_disk_does_not_take_are_written_later(
    state: SqlLinkState, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock, full = SqlLinkState.store_traffic, [True]

    def store(self: SqlLinkState, run_id: int, *, bytes_sent: int, bytes_recv: int) -> None:
        if full[0]:
            raise OSError("disk full")
        stock(self, run_id, bytes_sent=bytes_sent, bytes_recv=bytes_recv)

    monkeypatch.setattr(SqlLinkState, "store_traffic", store)
    monkeypatch.setattr(SqlLinkState, "get_run_info", SqlLinkState.get_run_info)
    traffic.install()
    run = a_run(state)
    state.store_traffic(run, bytes_sent=3, bytes_recv=0)
    with pytest.raises(OSError, match="disk full"):
        state.get_run_info(run_ids=[run])
    full[0] = False
    assert state.get_run_info(run_ids=[run])[0].bytes_sent == 3
