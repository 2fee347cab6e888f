"""What SuperNode and SuperLink have in common: where the executor's and ServerApp's commands are found."""

from __future__ import annotations

import os
import sys
from pathlib import Path

BIN = Path(__file__).parent / "bin"


def prefer_own_commands() -> None:
    """Let this process's children find flower-superexec and flwr-serverapp of fast_rounds first."""
    python = Path(sys.executable).parent  # their first line asks for the python3 of PATH: this one
    os.environ["PATH"] = os.pathsep.join([str(BIN), str(python), os.environ.get("PATH", os.defpath)])
