"""A bench that is told to end takes down what it has started, as after Ctrl-C."""

from __future__ import annotations

import signal
import sys


def as_interrupted() -> None:
    """End by an exception at SIGTERM, so that what is open is closed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
