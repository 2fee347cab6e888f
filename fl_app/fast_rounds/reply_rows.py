"""Messages that are stored in a SuperLink's database, and replies that are given out, by plain statements.

What stands in the database before and after is the same as with stock's, and so is what is refused, and why.
"""

from __future__ import annotations

from typing import Any

from flwr.app import Message
from flwr.common.constant import MESSAGE_TTL_TOLERANCE, SUPERLINK_NODE_ID
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.server.superlink.linkstate.utils import (
    check_node_availability_for_in_message,
    dict_to_message,
    message_to_dict,
    verify_found_message_replies,
    verify_message_ids,
)
from flwr.server.utils.validator import validate_message
from flwr.supercore import log
from flwr.supercore.constant import NodeStatus
from flwr.supercore.date import now
from flwr.supercore.utils import int64_to_uint64, uint64_to_int64
from sqlalchemy.exc import IntegrityError

from fast_rounds.message_rows import ALL, COLUMNS, as_rows
from fast_rounds.statements import Rows, Statements

WARNING, ERROR = 30, 40
NUMBERS = ("run_id", "src_node_id", "dst_node_id")  # unsigned in messages, signed in SQLite
MARKS = ", ".join("?" * len(COLUMNS))


def _insert(sql: Statements, table: str, message: Message) -> None:
    values = message_to_dict(message)
    values |= {name: uint64_to_int64(values[name]) for name in NUMBERS}
    sql.do(f"INSERT INTO {table} ({ALL}) VALUES ({MARKS})", *(values[name] for name in COLUMNS))


def _messages(found: Rows) -> list[Message]:
    rows = as_rows(found)
    return [dict_to_message(row | {name: int64_to_uint64(row[name]) for name in NUMBERS}) for row in rows]


def store_message_ins(self: SqlLinkState, message: Message) -> str | None:
    """Store a message to a node; return its id, or None where it is refused, with the reason in the log."""
    metadata = message.metadata
    if any(errors := validate_message(message=message, is_reply_message=False)):
        log(ERROR, errors)
        return None
    if metadata.src_node_id != SUPERLINK_NODE_ID:
        log(ERROR, "Invalid source node ID for Message: %s", metadata.src_node_id)
        return None
    try:
        with self.session() as session:
            run = self._lock_run(metadata.run_id, require_unfinished=True)
            if not run:
                log(ERROR, "Invalid run ID for Message: %s", metadata.run_id)
                return None
            sql, to = Statements(session), metadata.dst_node_id
            there = sql.do(
                "SELECT 1 FROM node WHERE node_id = ? AND status IN (?, ?)",
                uint64_to_int64(to),
                NodeStatus.ONLINE,
                NodeStatus.OFFLINE,
            )
            is_member = there and self.federation_manager.has_node(to, run["federation_id"])
            if to != SUPERLINK_NODE_ID and not is_member:
                log(ERROR, "Invalid destination node ID for Message: %s", to)
                return None
            _insert(sql, "message_ins", message)
    except IntegrityError as error:
        if "message_ins.message_id" not in str(error.orig):
            raise
    return metadata.message_id


def store_message_res(self: SqlLinkState, message: Message) -> str | None:
    """Store a reply; return its id, or None where it is refused."""
    metadata = message.metadata
    if any(errors := validate_message(message=message, is_reply_message=True)):
        log(ERROR, errors)
        return None
    replied_to = metadata.reply_to_message_id
    try:
        with self.session() as session:
            if not self._lock_run(metadata.run_id, require_unfinished=True):
                log(ERROR, "Invalid run ID for Message: %s", metadata.run_id)
                return None
            sql = Statements(session)
            of_run = sql.do("SELECT run_id FROM message_ins WHERE message_id = ?", replied_to)
            if of_run and of_run[0][0] is not None and int64_to_uint64(of_run[0][0]) != metadata.run_id:
                log(ERROR, "`metadata.run_id` is invalid")
                return None
            asked = self.get_valid_message_ins(replied_to)
            if asked is None:
                log(
                    ERROR,
                    "Failed to store Message reply: The message it replies to with message_id %s does not exist or has "
                    "expired, or was deleted because the target SuperNode was removed from the federation.",
                    replied_to,
                )
                return None
            if int64_to_uint64(asked["dst_node_id"]) != metadata.src_node_id:
                return None
            longest = asked["created_at"] + asked["ttl"] - metadata.created_at
            if metadata.ttl and metadata.ttl - longest > MESSAGE_TTL_TOLERANCE:
                log(
                    WARNING,
                    "Received Message with TTL %.2f exceeding the allowed maximum TTL %.2f.",
                    metadata.ttl,
                    longest,
                )
                return None
            if not sql.do("SELECT 1 FROM message_res WHERE message_id = ?", metadata.message_id):
                _insert(sql, "message_res", message)
    except IntegrityError:
        log(
            ERROR,
            "Failed to store Message reply: duplicate reply for reply_to_message_id %s or invalid run.",
            replied_to,
        )
        return None
    return metadata.message_id


def get_message_res(self: SqlLinkState, message_ids: set[str], run_id: int) -> list[Message]:
    """Give out the replies that are there to messages, and errors in place of those that can never be."""
    if not message_ids:
        return []
    with self.session() as session:
        self._check_stored_messages(message_ids, run_id)
        sql, at = Statements(session), now().timestamp()
        asked = _messages(sql.of(f"SELECT {ALL} FROM message_ins WHERE message_id IN", message_ids))
        by_id = {message.metadata.message_id: message for message in asked}
        # Each of these takes the ids that it answers out of `message_ids`.
        given = verify_message_ids(
            inquired_message_ids=message_ids, found_message_ins_dict=by_id, run_id=run_id, current_time=at
        )
        nodes = {uint64_to_int64(by_id[one].metadata.dst_node_id) for one in message_ids if one in by_id}
        online = sql.of(
            "SELECT node_id, online_until FROM node WHERE status != ? AND node_id IN", nodes, NodeStatus.UNREGISTERED
        )
        given |= check_node_availability_for_in_message(
            inquired_in_message_ids=message_ids,
            found_in_message_dict=by_id,
            node_id_to_online_until={int64_to_uint64(node): until for node, until in online},
            current_time=at,
        )
        replies: list[Message] = []
        if message_ids:
            claimed = sql.of(
                "UPDATE message_res SET delivered_at = ? WHERE delivered_at = '' AND reply_to_message_id IN",
                message_ids,
                now().isoformat(),
                ending=f"RETURNING {ALL}",
            )
            replies = _messages(claimed)
            given |= verify_found_message_replies(
                inquired_message_ids=message_ids,
                found_message_ins_dict=by_id,
                found_message_res_list=replies,
                current_time=at,
            )
        stored = {message.metadata.message_id for message in replies}
        for message in given.values():
            if message.metadata.message_id not in stored:
                self._store_generated_message(message)
    return list(given.values())


def add_clientapp_runtime(self: SqlLinkState, run_id: int, runtime: float) -> None:
    """Add seconds to those that ClientApps took in a run."""
    with self.session() as session:
        if not Statements(session).do(
            "UPDATE run SET clientapp_runtime = clientapp_runtime + ? WHERE run_id = ? RETURNING run_id",
            runtime,
            uint64_to_int64(run_id),
        ):
            raise ValueError(f"Run {run_id} not found")


def install() -> None:
    """Let a SuperLink store messages, and give replies out, so."""
    parts: list[Any] = [store_message_ins, store_message_res, get_message_res, add_clientapp_runtime]
    for function in parts:
        setattr(SqlLinkState, function.__name__, function)
