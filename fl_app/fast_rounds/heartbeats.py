"""A ClientApp's first heartbeat is sent when it is due, not with its first breath.

It has just been claimed, which counts as a heartbeat, and asks for its message next, which counts as one, too.
"""

from __future__ import annotations

import random
from types import ModuleType

from flwr.common.constant import (
    HEARTBEAT_BASE_MULTIPLIER,
    HEARTBEAT_CALL_TIMEOUT,
    HEARTBEAT_DEFAULT_INTERVAL,
    HEARTBEAT_RANDOM_RANGE,
)
from flwr.supercore.heartbeat import HeartbeatSender


class LaterHeartbeats(HeartbeatSender):
    """Stock's, which waits as long before its first as before each other one."""

    def _run(self) -> None:
        multiplier = HEARTBEAT_BASE_MULTIPLIER + random.Random().uniform(*HEARTBEAT_RANDOM_RANGE)
        self._stop_event.wait((HEARTBEAT_DEFAULT_INTERVAL - HEARTBEAT_CALL_TIMEOUT) * multiplier)
        super()._run()


def install(module: ModuleType) -> None:
    """Let `module`, flwr's run_clientapp, send them so."""
    vars(module)["HeartbeatSender"] = LaterHeartbeats
