"""The linters and the type checker pass over everything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PACKAGES = ("playbooks/fleet", "playbooks/plugins", "fl_app/fl_app", "fl_app/fast_rounds", "fl_app/vision_benchmark")
TYPED = (*PACKAGES, "files", "fabfile.py", "fl_app/tests", "tests")


@pytest.mark.parametrize(
    "command",
    [
        ("ansible-lint", "--strict"),
        ("yamllint", "--strict", "."),
        ("ruff", "check"),
        ("mypy", *TYPED),
    ],
    ids=lambda command: command[0],
)
def test_passes(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=PROJECT,
        env={**os.environ, "NO_COLOR": "1", "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
