"""The objects of messages in a SuperLink's database, a few plain statements for a whole tree of them.

Stock has some for each object and each of its parents. What stands in the database before and after is the same.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.constant import OBJECT_PUSH_SESSION_TTL_SECONDS
from flwr.supercore.corestate.sql_corestate import SqlCoreState
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import is_valid_sha256_hash, iterate_object_tree
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.supercore.utils import int64_to_uint64, uint64_to_int64

from fast_rounds.statements import Statements


def until() -> str:
    """Return when a push session that is used now expires, as flwr's type UTCDateTime writes it."""
    return (now() + timedelta(seconds=OBJECT_PUSH_SESSION_TTL_SECONDS)).isoformat(sep=" ")


def preregister(self: SqlObjectStore, run_id: int, object_tree: ObjectTree) -> list[str]:
    """Register the objects of a tree that are not known yet; return the ids of those whose content is not there."""
    children: dict[str, list[str]] = {}
    order = []
    for node in iterate_object_tree(object_tree):
        if not is_valid_sha256_hash(node.object_id):
            raise ValueError(f"Invalid object ID format: {node.object_id}")
        ids = [child.object_id for child in node.children]
        if len(ids) != len(set(ids)):
            raise ValueError(f"Object {node.object_id} has duplicate children.")
        if set(children.setdefault(node.object_id, ids)) != set(ids):
            raise _other_children(node.object_id)
        order.append(node.object_id)
    with self._mutation_session() as session:
        sql = Statements(session)
        there: dict[str, int] = dict(sql.of("SELECT object_id, is_available FROM objects WHERE object_id IN", children))
        before: dict[str, set[str]] = {object_id: set() for object_id in there}
        for parent, child in sql.of("SELECT parent_id, child_id FROM object_children WHERE parent_id IN", there):
            before[parent].add(child)
        for object_id, known in before.items():
            if known != set(children[object_id]):
                raise _other_children(object_id)
        new = [object_id for object_id in children if object_id not in there]
        parents = Counter(child for object_id in new for child in children[object_id])
        sql.for_each(
            "INSERT INTO objects (object_id, content, is_available, ref_count) VALUES (?, x'', 0, ?)",
            [(object_id, parents.pop(object_id, 0)) for object_id in new],
        )
        sql.for_each(
            "UPDATE objects SET ref_count = ref_count + ? WHERE object_id = ?",
            [(count, object_id) for object_id, count in parents.items()],
        )
        sql.for_each(
            "INSERT INTO object_children (parent_id, child_id) VALUES (?, ?)",
            [(object_id, child) for object_id in new for child in children[object_id]],
        )
        sql.for_each(
            "INSERT INTO run_objects (run_id, object_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(uint64_to_int64(run_id), object_id) for object_id in children],
        )
    return [object_id for object_id in order if not there.get(object_id)]


def _other_children(object_id: str) -> ValueError:
    return ValueError(f"Object {object_id} was preregistered with different children.")


def get_object_tree(self: SqlObjectStore, object_id: str) -> ObjectTree:
    """Return the tree of an object; raises NoObjectInStoreError where it, or one in its tree, is not there."""
    children: dict[str, list[str]] = {}
    with self.session() as session:
        sql = Statements(session)
        level = {object_id}
        while level:
            found = sql.of("SELECT object_id FROM objects WHERE object_id IN", level)
            if len(found) < len(level):
                raise NoObjectInStoreError(
                    f"Object {object_id} was not pre-registered."
                    if not children
                    else f"Object tree for object ID '{object_id}' contains missing children."
                )
            children |= {one: [] for one in level}
            for parent, child in sql.of("SELECT parent_id, child_id FROM object_children WHERE parent_id IN", level):
                children[parent].append(child)
            level = {child for one in level for child in children[one]} - children.keys()

    def tree(one: str) -> ObjectTree:
        return ObjectTree(object_id=one, children=map(tree, children[one]))

    return tree(object_id)


def delete(self: SqlObjectStore, object_id: str) -> None:
    """Delete an object that no other contains, and what is in no other then."""
    with self._mutation_session() as session:
        sql = Statements(session)
        level = [object_id]
        while level:
            free = [
                one for (one,) in sql.of("SELECT object_id FROM objects WHERE ref_count = 0 AND object_id IN", level)
            ]
            inside = Counter(
                child for (child,) in sql.of("SELECT child_id FROM object_children WHERE parent_id IN", free)
            )
            sql.of("DELETE FROM objects WHERE object_id IN", free)
            sql.for_each(
                "UPDATE objects SET ref_count = max(0, ref_count - ?) WHERE object_id = ?",
                [(count, child) for child, count in inside.items()],
            )
            level = list(inside)


def _lock_objectstore_mutation(self: SqlObjectStore) -> None:
    with self.session() as session:
        Statements(session).do(
            "INSERT INTO objectstore_locks (lock_id, lock_value) VALUES (?, 0)"
            " ON CONFLICT (lock_id) DO UPDATE SET lock_value = lock_value",
            self._MUTATION_LOCK_ID,
        )


def start_session(self: SqlCoreState, run_id: int) -> str:
    """Begin a push session of a run; return its id."""
    session_id = str(uuid4())
    with self.session() as session:
        Statements(session).do(
            "INSERT INTO object_push_sessions (session_id, run_id, expires_at, pending_count) VALUES (?, ?, ?, 0)",
            session_id,
            uint64_to_int64(run_id),
            until(),
        )
    return session_id


def preregister_object_tree(self: SqlCoreState, object_tree: ObjectTree, session_id: str) -> list[str]:
    """Register a tree for a push session, which waits for what is missing then; return the ids of that."""
    with self.session() as session:
        sql = Statements(session)
        rows = sql.do("SELECT run_id FROM object_push_sessions WHERE session_id = ?", session_id)
        if not rows:
            raise ValueError(f"Unknown object push session: {session_id}")
        missing: list[str] = self.object_store.preregister(int64_to_uint64(rows[0][0]), object_tree)
        root = object_tree.object_id
        older = sql.do(
            "SELECT session_id FROM object_push_session_roots WHERE root_object_id = ? AND session_id != ?",
            root,
            session_id,
        )
        if older:
            self._cleanup_push_session(older[0][0], cleanup_messages=False)
        sql.do(
            "INSERT INTO object_push_session_roots (session_id, root_object_id) VALUES (?, ?)",
            session_id,
            root,
        )
        sql.for_each(
            "INSERT INTO object_push_session_pending (session_id, object_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(session_id, object_id) for object_id in missing],
        )
        sql.do(
            "UPDATE object_push_sessions SET pending_count ="
            " (SELECT count(*) FROM object_push_session_pending WHERE session_id = ?) WHERE session_id = ?",
            session_id,
            session_id,
        )
        return missing


def install() -> None:
    """Let a SuperLink keep objects so."""
    parts: dict[type, list[Any]] = {
        SqlObjectStore: [preregister, get_object_tree, delete, _lock_objectstore_mutation],
        SqlCoreState: [start_session, preregister_object_tree],
    }
    for owner, functions in parts.items():
        for function in functions:
            setattr(owner, function.__name__, function)
