"""Whose key a SuperNode signs with: a SuperLink looks it up in its database once, and again after one was taken out.

Stock looks it up for each request. The signature and its time are verified each time, as in stock.
"""

from __future__ import annotations

from functools import wraps
from threading import Lock

from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState


class _Known:
    """The ids of nodes by their keys; `changes` grows whenever a node was taken out."""

    def __init__(self) -> None:
        self.ids: dict[bytes, int] = {}
        self.changes = 0
        self.lock = Lock()


def install() -> None:
    """Let a SuperLink remember its nodes' keys."""
    stock_get, stock_delete = SqlLinkState.get_node_id_by_public_key, SqlLinkState.delete_node

    def known(state: SqlLinkState) -> _Known:
        found: _Known = vars(state).setdefault("_known_keys", _Known())
        return found

    @wraps(stock_get)
    def get_node_id_by_public_key(self: SqlLinkState, public_key: bytes) -> int | None:
        kept = known(self)
        if (node_id := kept.ids.get(public_key)) is not None:
            return node_id
        before = kept.changes
        node_id = stock_get(self, public_key)
        with kept.lock:
            # What was read while a node was taken out may be what it was before.
            if node_id is not None and kept.changes == before:
                kept.ids[public_key] = node_id
        return node_id

    @wraps(stock_delete)
    def delete_node(self: SqlLinkState, owner_aid: str, node_id: int) -> None:
        try:
            stock_delete(self, owner_aid, node_id)
        finally:
            kept = known(self)
            with kept.lock:
                kept.changes += 1
                kept.ids.clear()

    SqlLinkState.get_node_id_by_public_key = get_node_id_by_public_key  # type: ignore[method-assign]
    SqlLinkState.delete_node = delete_node  # type: ignore[method-assign]
