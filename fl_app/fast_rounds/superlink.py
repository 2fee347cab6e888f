"""The command `flower-superlink` of fast_rounds: stock's with the same arguments; its ServerApps get the fast Grid."""

from __future__ import annotations

import sys

from fast_rounds import launch


def main() -> None:
    """Run `flower-superlink`."""
    from flwr.superlink.cli import flower_superlink

    sys.argv[0] = "flower-superlink"
    launch.prefer_own_commands()
    flower_superlink()
