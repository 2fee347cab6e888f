"""A SuperLink's executor learns of a new run at once, and is let go where there is none."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flwr.common.constant import NOOP_FLWR_AID
from flwr.proto.runtime_pb2 import AcquireTaskRequest, AcquireTaskResponse
from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.superlink.servicer.runtime import runtime_handlers

from fast_rounds import new_runs
from fast_rounds.bell import Bell
from link_state import installing, link

LONG = 60.0  # seconds that nobody here waits to the end
REQUEST = AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SqlLinkState:
    """A SuperLink's state whose runs are all claimed, with a question that is held for long."""
    monkeypatch.setattr(new_runs, "HOLD", LONG)
    replaced: dict[type, tuple[str, ...]] = {SqlLinkState: ("create_run", "create_task")}
    monkeypatch.setattr(runtime_handlers, "acquire_task", runtime_handlers.acquire_task)
    installing(monkeypatch, new_runs.install, replaced)()
    state, runs = link(tmp_path / "state.db")
    for _ in runs:
        assert runtime_handlers.acquire_task(REQUEST, state).HasField("task")
    return state


def create(state: SqlLinkState) -> int:
    return state.create_run(None, None, None, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP)


def test_a_new_run_is_told_while_the_question_waits(idle: SqlLinkState) -> None:
    asked = threading.Event()
    stock = idle.get_tasks

    def get_tasks(*args: Any, **words: Any) -> Any:
        asked.set()
        return stock(*args, **words)

    with ThreadPoolExecutor() as threads:
        vars(idle)["get_tasks"] = get_tasks
        start = time.monotonic()
        answer = threads.submit(runtime_handlers.acquire_task, REQUEST, idle)
        assert asked.wait(LONG)
        run = create(idle)
        assert answer.result(LONG).task.run_id == run
    assert time.monotonic() - start < LONG


def test_where_nothing_comes_the_answer_is_stocks() -> None:
    asked: list[Any] = []

    def stock(request: AcquireTaskRequest, state: Any) -> AcquireTaskResponse:
        asked.append(state)
        return AcquireTaskResponse()

    assert not new_runs.held(stock, Bell(), 0.0)(REQUEST, "state").HasField("task")
    assert asked == ["state"]


def test_the_bell_rings_when_the_run_can_be_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state, runs = link(path)
    found: list[int] = []

    class Listens(Bell):
        def ring(self) -> None:
            with closing(sqlite3.connect(path)) as database:
                found.extend(*database.execute("SELECT count(*) FROM run"))

    monkeypatch.setattr(SqlLinkState, "create_run", new_runs.ringing(SqlLinkState.create_run, Listens()))
    with state.session():
        create(state)
        assert found == []
    assert found == [len(runs) + 1]
