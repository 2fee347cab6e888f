"""The objects of messages in a SuperLink's database: those of a message are read at once, and written at once.

Stock does it one by one, each in a transaction of its own.
"""

from __future__ import annotations

from typing import Any

from flwr.common.constant import Status
from flwr.supercore.inflatable.inflatable_object import get_object_id
from flwr.supercore.inflatable.inflatable_utils import validate_object_content
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.superlink.servicer.fleet import fleet_handlers

from fast_rounds.object_rows import until
from fast_rounds.parcel_server import Give, Objects, Take, from_memory, into_memory
from fast_rounds.statements import Statements

FLEET = "/v1/fleet/"  # what a SuperNode asks: refused where the run has ended, and counted as the run's bytes


def give(path: str) -> Give:
    """Return what reads the objects for the answer to a request of this path."""

    def given(state: Any, run_id: int, ids: list[str], limit: int) -> Objects:
        of_a_node = path.startswith(FLEET)
        if of_a_node and _has_ended(run_id, state):
            return {}  # asked for one by one it is refused, as in stock
        in_database = isinstance(state.object_store, SqlObjectStore)
        objects = _read(state, ids, limit) if in_database else from_memory(state, run_id, ids, limit)
        if of_a_node and objects:
            state.store_traffic(run_id, bytes_sent=sum(map(len, objects.values())), bytes_recv=0)
        return objects

    return given


def take(path: str) -> Take:
    """Return what writes the objects that came with a request of this path."""

    def taken(state: Any, run_id: int, session_id: str, objects: Objects) -> set[str]:
        in_database = isinstance(state.object_store, SqlObjectStore)
        stored = _write(state, session_id, objects) if in_database else into_memory(state, run_id, session_id, objects)
        if path.startswith(FLEET) and stored:
            state.store_traffic(run_id, bytes_sent=0, bytes_recv=sum(len(objects[name]) for name in stored))
        return stored

    return taken


def _has_ended(run_id: int, state: Any) -> bool:
    ended = [Status.PENDING, Status.STARTING, Status.FINISHED]
    return bool(vars(fleet_handlers)["check_abort"](run_id, ended, state))  # with what `run_status.py` makes of it


def _read(state: Any, ids: list[str], limit: int) -> Objects:
    with state.object_store.session() as session:
        sql = Statements(session)
        there = sql.of("SELECT object_id, length(content) FROM objects WHERE is_available = 1 AND object_id IN", ids)
        sizes: dict[str, int] = dict(there)
        chosen = []
        for object_id in ids:
            if 0 < sizes.get(object_id, 0) <= limit:
                limit -= sizes[object_id]
                chosen.append(object_id)
        return dict(sql.of("SELECT object_id, content FROM objects WHERE object_id IN", chosen))


def _write(state: Any, session_id: str, objects: Objects) -> set[str]:
    """Write what a push session that has just begun waits for; end it where it waits for nothing more."""
    whole = [object_id for object_id, content in objects.items() if _is_whole(object_id, content)]
    with state.session() as session:
        sql = Statements(session)
        of_the_session = "FROM object_push_session_pending WHERE session_id = ? AND object_id IN"
        claimed = {object_id for (object_id,) in sql.of(f"SELECT object_id {of_the_session}", whole, session_id)}
        sql.of(f"DELETE {of_the_session}", claimed, session_id)
        sql.for_each(
            "UPDATE objects SET content = ?, is_available = 1 WHERE object_id = ? AND is_available = 0",
            [(objects[object_id], object_id) for object_id in claimed],
        )
        sql.do(
            "UPDATE object_push_sessions SET pending_count = pending_count - ?, expires_at = ? WHERE session_id = ?",
            len(claimed),
            until(),
            session_id,
        )
        sql.do("DELETE FROM object_push_sessions WHERE session_id = ? AND pending_count = 0", session_id)
    return claimed


def _is_whole(object_id: str, content: bytes) -> bool:
    """Return whether this is the object of that id; what is not is left to stock, which says why it refuses it."""
    if get_object_id(content) != object_id:
        return False
    try:
        validate_object_content(content)
    except ValueError:
        return False
    return True
