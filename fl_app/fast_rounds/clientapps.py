"""The command `clientapps`: starts the processes of apps, as their own user, for the executor at a socket of systemd's.

It runs as that user, in a unit of its own; the socket is the SuperNode's user's alone (roles/supernode). What it was
told is kept from the apps, which are the same user's: its memory holds other tasks' tokens.
"""

from __future__ import annotations

import os
import socket
import sys

from fast_rounds import forks, warm
from fast_rounds.large_pages import LargePages

FIRST = 3  # the first file descriptor that is handed over: sd_listen_fds(3)


def main() -> None:
    """Start what is ordered, until SIGTERM."""
    handed = {name: os.environ.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")}
    if handed["LISTEN_FDS"] != "1":
        sys.exit("clientapps: no socket was handed over; systemd starts this by clientapps.socket")
    listener = socket.socket(fileno=FIRST)
    forks.keep_private()
    setting = os.environ.get("FAST_ROUNDS", "off")
    keeps_warm = setting != "off" and warm.wanted_here() and _is_as_expected()
    server = forks.Forks(warm=keeps_warm, tells=setting != "off")
    if keeps_warm:
        warm.import_ahead([*warm.SHARED, *warm.preload()])
        LargePages().collapse()
    server.listen(listener)


def _is_as_expected() -> bool:
    from fast_rounds import seams

    return seams.as_expected(seams.EXECUTOR, "the process that starts apps")
