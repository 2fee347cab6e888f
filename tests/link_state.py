"""A SuperLink's state in a database of its own, and all that stands there of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flwr.common.constant import NOOP_FLWR_AID
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.object_store.sql_object_store import SqlObjectStore
from flwr.superlink.federation import NoOpFederationManager

TABLES = (
    "objects",
    "object_children",
    "run_objects",
    "object_push_sessions",
    "object_push_session_roots",
    "object_push_session_pending",
)
Link = tuple[SqlLinkState, list[int]]


def link(path: Path) -> Link:
    """Return a SuperLink's state with two runs."""
    store = SqlObjectStore(str(path))
    store.initialize()
    state = SqlLinkState(str(path), NoOpFederationManager(), store)
    state.initialize()
    runs = [
        state.create_run(None, None, None, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP)
        for _ in range(2)
    ]
    return state, runs


def rows(state: SqlLinkState, runs: list[int]) -> dict[str, list[Any]]:
    """Return all that stands in the tables of objects, without what is another each time."""
    begun = state.query("SELECT session_id FROM object_push_sessions ORDER BY rowid", {})
    sessions = {row["session_id"]: number for number, row in enumerate(begun)}
    found = {}
    for table in TABLES:
        kept = []
        for row in state.query(f"SELECT * FROM {table}", {}):
            row.pop("expires_at", None)
            if "run_id" in row:
                row["run_id"] = runs.index(row["run_id"] % 2**64)
            if "session_id" in row:
                row["session_id"] = sessions[row["session_id"]]
            kept.append(tuple(row.items()))
        found[table] = sorted(kept, key=repr)
    return found


def installing(
    monkeypatch: pytest.MonkeyPatch, install: Callable[[], None], replaced: dict[type, tuple[str, ...]]
) -> Callable[[], None]:
    """Return `install`, whose replacements are taken back after the test."""

    def installed() -> None:
        for owner, names in replaced.items():
            for name in names:
                monkeypatch.setattr(owner, name, getattr(owner, name))
        install()

    return installed


def assert_alike(
    folder: Path,
    install: Callable[[], None],
    steps: Callable[[SqlLinkState, list[int]], Iterator[Any]],
    shown: Callable[[SqlLinkState, list[int]], Any],
) -> list[Any]:
    """Do the same steps before and after `install`, and compare what each says and what the database shows then."""
    stock, runs = link(folder / "stock.db")
    expected = [(said, shown(stock, runs)) for said in steps(stock, runs)]
    install()
    ours, runs = link(folder / "plain.db")
    for number, said in enumerate(steps(ours, runs)):
        assert (said, shown(ours, runs)) == expected[number], number
    return [said for said, _ in expected]
