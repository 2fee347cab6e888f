"""The pace at which the fast Grid asks for replies."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flwr.app import Message
from flwr.serverapp import Grid

from fast_rounds.asking import Asking
from fast_rounds.grid import FLOOR, FastGrid
from fast_rounds.hold import GRID


class Slow:
    """Two replies, one after another, each of which takes a third of a second to fetch."""

    def __init__(self) -> None:
        self._replies = ["first", "second"]

    def push_messages(self, messages: Iterable[str]) -> Iterable[str]:
        return list(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Any]:
        threading.Event().wait(0.3)
        return [SimpleNamespace(metadata=SimpleNamespace(reply_to_message_id=self._replies.pop(0)))]


def test_what_fetching_a_reply_took_does_not_delay_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    asking = Asking(GRID)
    grid = FastGrid(cast(Grid, Slow()), asking)
    assert len(list(grid.send_and_receive(cast("list[Message]", ["first", "second"])))) == 2
    assert slept == [FLOOR]
    asking.held = True
    assert (
        len(list(FastGrid(cast(Grid, Slow()), asking).send_and_receive(cast("list[Message]", ["first", "second"]))))
        == 2
    )
    assert slept == [FLOOR]  # a question that was held is asked again at once
