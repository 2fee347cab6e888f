"""A SuperLink's database holds the same messages after plain statements as after stock's, and gives the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.constant import NOOP_FLWR_AID, SUPERLINK_NODE_ID, SubStatus
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.date import now
from flwr.supercore.utils import uint64_to_int64
from flwr.superlink.federation import NoOpFederationManager

from fast_rounds import message_rows, reply_rows
from link_state import assert_alike, installing, link

STOCKS = (
    "_lock_run",
    "_claim_message_ins_rows",
    "_load_message_ins_rows",
    "_check_stored_messages",
    "get_valid_message_ins",
    "delete_messages",
    "store_message_ins",
    "store_message_res",
    "get_message_res",
    "add_clientapp_runtime",
)
LONG = 3600.0  # seconds


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Install plain statements for the rest of this test."""

    def install() -> None:
        message_rows.install()
        reply_rows.install()

    return installing(monkeypatch, install, {SqlLinkState: STOCKS})


def message(name: str, run: int, to: int, of: int = SUPERLINK_NODE_ID, reply_to: str = "") -> Message:
    metadata = Metadata(
        run_id=run,
        message_id=name,
        src_node_id=of,
        dst_node_id=to,
        reply_to_message_id=reply_to,
        group_id="1",
        created_at=now().timestamp(),
        ttl=LONG / 2 if reply_to else LONG,
        message_type="train",
    )
    return make_message(metadata=metadata, content=RecordDict())


def refusal(do: Callable[[], Any]) -> Any:
    """Return what is done, or the reason why it is not."""
    try:
        return do()
    except ValueError as refused:
        return str(refused)


def replies(state: SqlLinkState, names: set[str], run: int) -> list[Any]:
    found = state.get_message_res(names, run)
    return sorted((one.metadata.reply_to_message_id, one.error.code if one.has_error() else 0) for one in found)


def steps(state: SqlLinkState, runs: list[int], seed: int) -> Iterator[Any]:
    """Do things to a state in a random order; yield what each of them says."""
    drawn = random.Random(seed)
    nodes = [state.create_node(NOOP_FLWR_AID, "", f"key {number}".encode(), 30) for number in range(3)]
    for node in nodes:
        state.activate_node(node, 30)
    sent: dict[str, tuple[int, int]] = {}
    for number in range(60):
        run, node = drawn.choice(runs), drawn.choice(nodes)
        some = drawn.sample(sorted(sent), min(len(sent), drawn.randrange(1, 4)))
        match drawn.randrange(8):
            case 0 | 1 | 2:
                name = f"{number:02}"
                if drawn.random() < 0.8:
                    sent[name] = run, node
                    yield state.store_message_ins(message(name, run, node))
                else:  # again, to a node that is not there, from one that may not, or of no run
                    wrong = [
                        (run, node, name, node),
                        (run, 5, name, SUPERLINK_NODE_ID),
                        (5, node, name, SUPERLINK_NODE_ID),
                    ]
                    again = [(run, node, min(sent), SUPERLINK_NODE_ID)] if sent else []
                    its_run, receiver, named, of = drawn.choice(wrong + again)
                    yield state.store_message_ins(message(named, its_run, receiver, of))
                if drawn.random() < 0.2:  # it has expired
                    state.query(
                        "UPDATE message_ins SET created_at = created_at - :ago WHERE message_id = :name",
                        {"ago": LONG + 1, "name": name},
                    )
            case 3:
                limit, of_run = drawn.choice([1, 2, None]), drawn.choice([None, run])
                found = state.get_message_ins(node_id=node, limit=limit, run_id=of_run)
                yield [(one.metadata.message_id, one.metadata.dst_node_id == node) for one in found]
            case 4 if some:
                of_run, to = sent[some[0]]
                named = drawn.choice([f"r{number:02}", f"r{some[0]}"])  # the second may have come before
                said_of = drawn.choice([of_run] * 4 + [run])
                reply = message(named, said_of, SUPERLINK_NODE_ID, drawn.choice([to, to, node]), some[0])
                if drawn.random() < 0.1:
                    vars(reply.metadata)["_ttl"] = LONG * 2
                yield state.store_message_res(reply)
                yield refusal(partial(state.add_clientapp_runtime, drawn.choice([*runs, 5]), 0.5))
            case 5 if some:
                if drawn.random() < 0.2:  # it has gone
                    state.query("UPDATE node SET online_until = 0 WHERE node_id = :id", {"id": uint64_to_int64(node)})
                yield refusal(partial(replies, state, set(some), run))
            case 6 if drawn.random() < 0.3:
                state.delete_messages(set(some))
                yield "deleted"
            case 7 if drawn.random() < 0.1:
                task = state.get_run_info(run_ids=[run])[0].primary_task_id
                yield task and state.finish_task(task, SubStatus.COMPLETED, "")


def rows(state: SqlLinkState, runs: list[int]) -> list[Any]:
    """Return all that stands of messages, without what is another each time."""
    found: list[Any] = []
    for run in state.query("SELECT run_id, clientapp_runtime FROM run", {}):
        found.append((runs.index(run["run_id"] % 2**64), run["clientapp_runtime"]))
    for table in ("message_ins", "message_res"):
        for row in state.query(f"SELECT * FROM {table}", {}):
            shown = {"delivered": bool(row["delivered_at"]), "run": runs.index(row["run_id"] % 2**64)}
            found.append((table, row["reply_to_message_id"], len(row["content"] or b""), row["ttl"] < LONG, shown))
            if table == "message_ins":
                found.append(row["message_id"])
    return sorted(found, key=repr)


@pytest.mark.parametrize("seed", range(5))
def test_the_database_is_as_after_stocks_statements(tmp_path: Path, plain: Callable[[], None], seed: int) -> None:
    said = assert_alike(tmp_path, plain, lambda state, runs: steps(state, runs, seed), rows)
    assert len(set(map(repr, said))) > 12


def test_who_has_left_the_federation_is_given_nothing(
    tmp_path: Path, plain: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain()
    state, (run, other) = link(tmp_path / "link.db")
    node = state.create_node(NOOP_FLWR_AID, "", b"key", 30)
    state.activate_node(node, 30)
    state.store_message_ins(message("first", run, node))
    monkeypatch.setattr(NoOpFederationManager, "filter_nodes", lambda self, node_ids, federation: node_ids - {node})
    assert state.get_message_ins(node_id=node, limit=1) == []
    assert not [row for row in rows(state, [run, other]) if "message_ins" in row]
