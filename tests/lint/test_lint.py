"""The linters and the type checker pass over everything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ANSIBLE_LINT = Path(__file__).parent / "forked_ansible_lint.py"
PACKAGES = ("playbooks/fleet", "playbooks/plugins", "fl_app/fl_app", "fl_app/fast_rounds", "fl_app/vision_benchmark")
TYPED = (*PACKAGES, "files", "fabfile.py", "fl_app/tests", "tests")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param((sys.executable, ANSIBLE_LINT, "--strict"), id="ansible-lint"),
        pytest.param((BIN / "yamllint", "--strict", "."), id="yamllint"),
        pytest.param((BIN / "ruff", "check"), id="ruff"),
        pytest.param((BIN / "mypy", *TYPED), id="mypy"),
    ],
)
def test_passes(command: tuple[str | Path, ...]) -> None:
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, "NO_COLOR": "1", "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
