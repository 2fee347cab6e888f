"""The SuperNode's loop: its question for a message is held, or asked at an adaptive pace.

Each message is handed on as it arrives.

Stock: 3 s of sleep when there is no message, 0.5 s while it waits for the reply. The second is in one process with what
it waits for and is woken by the bell; the first asks over the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from flwr.common.constant import Status
from flwr.proto.runtime_pb2 import AcquireTaskRequest, AcquireTaskResponse
from flwr.supercore.constant import TaskType
from flwr.supercore.exit import add_exit_handler
from flwr.supercore.object_store import ObjectStore
from flwr.supernode import fleet_http_connection
from flwr.supernode import start_client_internal as loop
from flwr.supernode.nodestate.in_memory_nodestate import InMemoryNodeState
from flwr.supernode.servicer.runtime import runtime_handlers

from fast_rounds import hold
from fast_rounds.asking import Asking
from fast_rounds.bell import Bell
from fast_rounds.pace import Pace
from fast_rounds.parcel_client import with_objects

IDLE = 3.0  # the argument of flwr's own sleep when there was no message
HOLD = 5.0  # seconds that a question is held, the executor's here and ours by the SuperLink; the limit is 30
STRAGGLER = 10.0  # seconds that a ClientApp that has answered may take to hand in its context


class Gate:
    """Open while a message waits for its ClientApp: it is whole then, with all its objects."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self.opened: float | None = None
        self.closing = False

    def open(self) -> None:
        """Let the executor have the task."""
        self.opened = time.monotonic()
        self._bell.ring()

    def shut(self) -> None:
        """The message is answered."""
        self.opened = None

    def close(self) -> None:
        """The process ends: hold nobody any longer."""
        self.closing = True
        self._bell.ring()

    def lets_in(self, state: InMemoryNodeState) -> bool:
        """Return whether a pending task may be claimed now.

        A ClientApp sends its reply first and its context after it. The next message may be here in between: its
        ClientApp waits for the context, or `context.state` would be lost.
        """
        pending = state.get_tasks(statuses=[Status.PENDING])
        if any(task.type != TaskType.CLIENT_APP for task in pending):
            return True
        if not pending or self.opened is None:
            return False
        if time.monotonic() - self.opened > STRAGGLER:
            return True
        return not state.get_tasks(statuses=[Status.STARTING, Status.RUNNING])


def _held(stock: Callable[..., AcquireTaskResponse], gate: Gate, bell: Bell) -> Callable[..., AcquireTaskResponse]:
    registered: list[bool] = []

    def acquire_task(request: AcquireTaskRequest, state: InMemoryNodeState) -> AcquireTaskResponse:
        """Claim a task; where there is none, hold the question until there is one, for `HOLD` seconds."""
        if not registered:
            registered.append(True)  # late, so that it runs before the handler that waits for this very answer
            add_exit_handler(gate.close)
        end = time.monotonic() + HOLD
        while not gate.closing:
            heard = bell.rings
            if gate.lets_in(state):
                response = stock(request, state)
                if response.HasField("task"):
                    return response
            left = end - time.monotonic()
            if left <= 0:
                break
            bell.wait(heard, min(left, 1.0))
        return AcquireTaskResponse()

    return acquire_task


def install(bell: Bell, floor: float) -> None:
    """Replace the loop's sleeps; `floor`: seconds between two questions to the SuperLink while a run is active."""
    gate = Gate(bell)
    pace = Pace(floor, IDLE)
    asking = Asking(hold.NODE, HOLD)
    asking.install(fleet_http_connection, "NodeAuthHttpInterceptor")
    heard = 0

    def sleep(seconds: float) -> None:
        nonlocal heard
        if seconds == IDLE:
            if not asking.held:
                time.sleep(pace.seconds())
        else:
            heard = bell.wait(heard, seconds)

    stock_push = loop._push_messages

    def push_messages(*, send: Callable[..., Any], object_store: ObjectStore, **kwargs: Any) -> None:
        gate.open()
        try:
            stock_push(send=with_objects(send, object_store), object_store=object_store, **kwargs)
        finally:
            gate.shut()
            pace.start()

    vars(loop).update(time=SimpleNamespace(sleep=sleep), _push_messages=push_messages)
    for name in ("create_task", "store_message", "store_object", "finish_task"):
        setattr(InMemoryNodeState, name, bell.after(getattr(InMemoryNodeState, name)))
    vars(runtime_handlers)["acquire_task"] = _held(runtime_handlers.acquire_task, gate, bell)
