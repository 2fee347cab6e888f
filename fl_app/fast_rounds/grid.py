"""The ServerApp's Grid: its question for replies is held, or asked at an adaptive pace. Stock asks every 3 s."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from flwr.app import Message
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fast_rounds.asking import Asking
from fast_rounds.pace import Pace

FLOOR, CEILING = 0.05, 1.0  # seconds between two questions
HOLD = 1.0  # seconds: a message that has expired is found when it is asked for


class FastGrid(Grid):
    """Hands everything on to `grid`, and waits for replies itself."""

    def __init__(self, grid: Grid, asking: Asking) -> None:
        self._grid = grid
        self._asking = asking

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def set_run(self, run: Run) -> None:
        """Set the run."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """The run."""
        return self._grid.run

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        """Create a message."""
        return self._grid.create_message(*args, **kwargs)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the connected nodes."""
        return self._grid.get_node_ids()

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return the connected nodes."""
        return self._grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; return their ids."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there to these messages."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return the replies: all, or those that came within `timeout` seconds."""
        waiting = set(self._grid.push_messages(messages))
        del messages  # they hold a model each
        end = float("inf") if timeout is None else time.monotonic() + timeout
        pace = Pace(FLOOR, CEILING)
        pace.start()
        replies: list[Message] = []
        while waiting and time.monotonic() < end:  # of a round without evaluation there is nothing to wait for
            with self._asking.held_for(min(HOLD, end - time.monotonic())):
                arrived = list(self._grid.pull_messages(waiting))
            replies += arrived
            waiting -= {message.metadata.reply_to_message_id for message in arrived}
            if not waiting:
                break
            if arrived:
                pace.start()  # the rest is near; and what fetching a model took says nothing about the server
            if not self._asking.held:
                time.sleep(max(0.0, min(pace.seconds(), end - time.monotonic())))
        return replies
