"""The rehearsal does what a ClientApp's process does, and leaves no trace of it."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any

import pytest
from flwr.supercore.task_identity import TaskIdentity

from fast_rounds import rehearsal, seams, warm
from fast_rounds.clientapp_client import ClientAppClient


def test_it_fetches_a_task_and_answers_it_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    stock = ClientAppClient._unary_unary

    def noted(self: ClientAppClient, *, path: str, **words: Any) -> Any:
        asked.append(path)
        return stock(self, path=path, **words)

    def connects(*_: object) -> None:
        raise AssertionError("nothing may leave the process")

    monkeypatch.setattr(ClientAppClient, "_unary_unary", noted)
    monkeypatch.setattr(socket.socket, "connect", connects)
    threads = threading.active_count()
    rehearsal.rehearse(2)
    assert asked == ["/v1/runtime/pull-task-input", "/v1/runtime/push-task-output"] * 2
    assert threading.active_count() == threads
    with pytest.raises(RuntimeError, match="not set"):
        print(TaskIdentity.run_id)


def test_what_is_checked_in_forks_is_as_before() -> None:
    expected = seams.SERVERAPP + seams.EXECUTOR + seams.HOLD
    assert seams.differing(expected) == []
    rehearsal.rehearse(1)
    assert seams.differing(expected) == []


def test_apps_start_also_where_it_fails(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise RuntimeError("another httpx")

    monkeypatch.setattr(rehearsal, "rehearse", fails)
    with caplog.at_level(logging.WARNING, "flwr"):
        warm.rehearse()
    assert "the rehearsal failed" in caplog.text
    assert "another httpx" in caplog.text
