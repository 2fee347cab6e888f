"""Apps as a user of their own: what orders their processes from the one that runs as that user (`clientapps.py`).

Where the executor is stock, the command `hand-over` takes the place of Flower's commands for apps (by PATH), and hands
each on. Nothing here ever starts an app itself: that would be as the SuperNode's user, who may read the device's key.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from fast_rounds import warm
from fast_rounds.forks import die_with
from fast_rounds.launch import Commands


class AppUser(Commands):
    """The executor's end: all that it starts is started by the process that listens at `address`."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._orders: socket.socket | None = None

    def Popen(self, command: list[str], **kwargs: Any) -> object:  # noqa: N802 - it is called by this name
        """Have `command` run as the apps' user; where it cannot be, the SuperNode answers for it after a minute."""
        order = warm.order(command, quiet="stdout" in kwargs)
        for _ in range(2):  # the one that listened before may have been started anew
            try:
                if self._orders is None:
                    self._orders = _connect(self._address)
                self._orders.send(order)
                return None
            except OSError as error:
                self._orders, failed = None, error
        from flwr.supercore import log

        log(warm.WARNING, "fast_rounds: %s is not started: %s: %s", command[0], self._address, failed)
        return None


def _connect(address: str) -> socket.socket:
    orders = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        orders.connect(address)
    except OSError:
        orders.close()
        raise
    return orders


def main() -> None:
    """Have the command that is named run as the apps' user, and end as it does: `hand-over flwr-clientapp …`."""
    executor = os.getppid()
    die_with(executor)
    address = os.environ["FAST_ROUNDS_APPS"]
    try:
        orders = _connect(address)
        orders.send(warm.order(sys.argv[1:], quiet=_is_quiet(), answer=True))
        said = orders.recv(64)
    except OSError as error:
        sys.exit(f"{sys.argv[1]} is not started: {address}: {error}")
    code = int(said or -1)
    sys.exit(code if code >= 0 else 128 - code)


def _is_quiet() -> bool:
    return os.path.samestat(os.fstat(1), os.stat(os.devnull))
