"""Messages in a SuperLink's database, found and claimed by plain statements.

What stands in the database before and after is the same as with stock's. A SuperNode for which there is nothing new,
which is what it asks most often, is told so by one look.
"""

from __future__ import annotations

from typing import Any

from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.date import now
from flwr.supercore.utils import int64_to_uint64, uint64_to_int64

from fast_rounds.statements import Statements

COLUMNS = (
    "message_id",
    "group_id",
    "run_id",
    "src_node_id",
    "dst_node_id",
    "reply_to_message_id",
    "created_at",
    "delivered_at",
    "ttl",
    "message_type",
    "content",
    "error",
)
ALL = ", ".join(COLUMNS)
Row = dict[str, Any]


def as_rows(found: list[tuple[Any, ...]]) -> list[Row]:
    """Return rows of `COLUMNS` with their names."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


def _lock_run(self: SqlLinkState, run_id: int, *, require_unfinished: bool = False) -> Row | None:
    unfinished = (
        " AND EXISTS (SELECT 1 FROM task WHERE task.task_id = run.primary_task_id AND task.finished_at IS NULL)"
    )
    with self.session() as session:
        found = Statements(session).do(
            f"UPDATE run SET run_id = run_id WHERE run_id = ?{unfinished if require_unfinished else ''}"
            " RETURNING run_id, federation_id, primary_task_id",
            uint64_to_int64(run_id),
        )
    return dict(zip(("run_id", "federation_id", "primary_task_id"), found[0], strict=True)) if found else None


def _claim_message_ins_rows(
    self: SqlLinkState, node_id: int, limit: int | None, run_id: int | None = None
) -> list[Row]:
    at = now()
    theirs = "dst_node_id = ? AND delivered_at = '' AND created_at + ttl > ?"
    whose: list[Any] = [uint64_to_int64(node_id), at.timestamp()]
    if run_id is not None:
        theirs += " AND run_id = ?"
        whose.append(uint64_to_int64(run_id))
    with self.session() as session:
        sql = Statements(session)
        if not sql.do(f"SELECT 1 FROM message_ins WHERE {theirs} LIMIT 1", *whose):
            return []
        claimed = sql.do(
            "UPDATE message_ins SET delivered_at = ? WHERE delivered_at = '' AND message_id IN"
            f" (SELECT message_id FROM message_ins WHERE {theirs} ORDER BY created_at, message_id LIMIT ?)"
            f" RETURNING {ALL}",
            at.isoformat(),
            *whose,
            -1 if limit is None else limit,
        )
    return as_rows(claimed)


def _load_message_ins_rows(self: SqlLinkState, message_ids: set[str]) -> list[Row]:
    with self.session() as session:
        rows = as_rows(Statements(session).of(f"SELECT {ALL} FROM message_ins WHERE message_id IN", message_ids))
    return sorted(rows, key=lambda row: (row["created_at"], row["message_id"]))


def _check_stored_messages(self: SqlLinkState, message_ids: set[str], run_id: int | None = None) -> None:
    """Delete those that nobody may have any more: expired, of no run, or of a node that is not in its federation."""
    with self.session() as session:
        sql = Statements(session)
        rows = as_rows(sql.of(f"SELECT {ALL} FROM message_ins WHERE message_id IN", message_ids))
        if run_id is not None and any(row["run_id"] != uint64_to_int64(run_id) for row in rows):
            raise ValueError("`message_ids` contains invalid IDs")
        runs = {row["run_id"] for row in rows}
        federations = {run: sql.do("SELECT federation_id FROM run WHERE run_id = ?", run) for run in runs}
        at = now().timestamp()

        def is_valid(row: Row) -> bool:
            federation = federations[row["run_id"]]
            if row["created_at"] + row["ttl"] <= at or not federation or not federation[0][0]:
                return False
            ends = {int64_to_uint64(row["src_node_id"]), int64_to_uint64(row["dst_node_id"])}
            return len(ends) == 1 or len(self.federation_manager.filter_nodes(ends, federation[0][0])) == 2

        invalid = {row["message_id"] for row in rows if not is_valid(row)}
        self.delete_messages(invalid)


def get_valid_message_ins(self: SqlLinkState, message_id: str) -> Row | None:
    """Return a message that is there and has not expired."""
    with self.session():
        self._check_stored_messages({message_id})
        rows = self._load_message_ins_rows({message_id})
        return rows[0] if rows else None


def delete_messages(self: SqlLinkState, message_ins_ids: set[str]) -> None:
    """Delete messages and the replies to them."""
    with self.session() as session:
        sql = Statements(session)
        sql.of("DELETE FROM message_ins WHERE message_id IN", message_ins_ids)
        sql.of("DELETE FROM message_res WHERE reply_to_message_id IN", message_ins_ids)


def install() -> None:
    """Let a SuperLink keep messages so."""
    parts: list[Any] = [
        _lock_run,
        _claim_message_ins_rows,
        _load_message_ins_rows,
        _check_stored_messages,
        get_valid_message_ins,
        delete_messages,
    ]
    for function in parts:
        setattr(SqlLinkState, function.__name__, function)
