"""A SuperNode for which there is nothing new is told so by one plain look into the database.

It is asked most often just for that: a SuperNode asks again as soon as it has answered. Stock prepares to claim a
message each time.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.utils import uint64_to_int64

from fast_rounds.object_rows import Statements


def install() -> None:
    """Let a SuperLink look first."""
    stock = SqlLinkState._claim_message_ins_rows

    @wraps(stock)
    def claim(self: SqlLinkState, node_id: int, *args: Any, **words: Any) -> list[dict[str, Any]]:
        with self.session() as session:
            if not Statements(session).do(
                "SELECT 1 FROM message_ins WHERE dst_node_id = ? AND delivered_at = '' LIMIT 1",
                uint64_to_int64(node_id),
            ):
                return []
            return stock(self, node_id, *args, **words)

    SqlLinkState._claim_message_ins_rows = claim  # type: ignore[method-assign]
