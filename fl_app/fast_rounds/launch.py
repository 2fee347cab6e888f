"""What SuperNode and SuperLink have in common: where the executor's and ServerApp's commands are found."""

from __future__ import annotations

import os
import sys
from pathlib import Path

BIN = Path(__file__).parent / "bin"


def prefer_own_commands() -> None:
    """Let this process's children find flower-superexec and flwr-serverapp of fast_rounds first, and import it."""
    python = Path(sys.executable).parent  # their first line asks for the python3 of PATH: this one
    os.environ["PATH"] = os.pathsep.join([str(BIN), str(python), os.environ.get("PATH", os.defpath)])
    here = str(BIN.parents[1])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if here not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([here, *filter(None, known)])
