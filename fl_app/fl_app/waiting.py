"""Waiting for devices, for a bounded time: Flower's strategies wait for ever."""

import logging
import time
from dataclasses import dataclass

from flwr.serverapp import Grid

from fl_app.errors import AppError

logger = logging.getLogger("flwr")
PAUSE = 0.5  # seconds from one look to the next


@dataclass(frozen=True)
class Wait:
    """Waits until ``devices`` are online, up to ``seconds``."""

    devices: int
    seconds: float

    def __call__(self, grid: Grid, server_round: int) -> list[int]:
        """Return the ids of those that are there, once they are enough; raises `AppError` where they do not come."""
        start, told = time.monotonic(), False
        while (online := len(nodes := list(grid.get_node_ids()))) < self.devices:
            if time.monotonic() - start > self.seconds:
                raise AppError(
                    f"round {server_round}: {online} of min_devices={self.devices} devices are online after "
                    f"device_timeout={self.seconds:g} s"
                )
            if not told:
                told = True
                logger.warning(
                    "round %d: %d of min_devices=%d devices are online; waiting for up to %g s",
                    server_round,
                    online,
                    self.devices,
                    self.seconds,
                )
            time.sleep(PAUSE)
        return nodes
