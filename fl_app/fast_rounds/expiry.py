"""How often a SuperLink looks for tasks whose process has fallen silent.

Stock looks with two statements to its database at each object that it is sent. A task counts as silent after a minute.
"""

from __future__ import annotations

from functools import wraps
from time import monotonic

from flwr.supercore.corestate.sql_corestate import SqlCoreState

EVERY = 0.5  # seconds


def install() -> None:
    """Let a SuperLink look once every `EVERY` seconds."""
    stock = SqlCoreState._cleanup_expired_task_tokens

    @wraps(stock)
    def cleanup(self: SqlCoreState) -> None:
        now = monotonic()
        if now - vars(self).get("_looked_at", float("-inf")) >= EVERY:
            vars(self)["_looked_at"] = now
            stock(self)

    SqlCoreState._cleanup_expired_task_tokens = cleanup  # type: ignore[method-assign]
