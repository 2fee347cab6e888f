"""The commands of Flower that have a counterpart here, and how one process starts another's."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

COMMANDS = {
    "flower-superlink": "fast_rounds.superlink",
    "flower-supernode": "fast_rounds.supernode",
    "flower-superexec": "fast_rounds.superexec",
    "flwr-serverapp": "fast_rounds.serverapp",
    # Not Flower's: the two ends between an executor and apps of another user.
    "clientapps": "fast_rounds.clientapps",
    "hand-over": "fast_rounds.app_user",
}
archive = ""  # what this process was started from


def own(command: list[str]) -> list[str]:
    """Return how to start `command`: its counterpart here, where it has one."""
    return [sys.executable, archive, *command] if command[0] in COMMANDS else command


class Commands:
    """Takes the place of the module `subprocess`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, command: list[str], **kwargs: Any) -> object:  # noqa: N802 - it is called by this name
        """Start a command, or its counterpart."""
        return subprocess.Popen(own(command), **kwargs)


def install(module: ModuleType, commands: Commands | None = None) -> None:
    """Let `module` start the counterparts of its commands."""
    vars(module)["subprocess"] = commands or Commands()
