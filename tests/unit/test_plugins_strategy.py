"""The strategy that keeps one Python on a host for the length of a play."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from unit.driving import errors, run_play

WHO = {"ansible.builtin.command": "sh -c 'echo parent=$PPID'"}
SHOWN = ("-v",)  # what went well is left out otherwise


def parents(output: str) -> list[str]:
    """The process that ran each module."""
    return re.findall(r"^\s+stdout: parent=(\d+)$", output, re.MULTILINE)


@pytest.mark.parametrize(("strategy", "processes"), [("linear", 2), ("persistent", 1)])
def test_modules_share_a_python_under_it_alone(tmp_path: Path, strategy: str, processes: int) -> None:
    done = run_play(tmp_path, [WHO, WHO], *SHOWN, strategy=strategy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(parents(done.stdout)) == 2, done.stdout
    assert len(set(parents(done.stdout))) == processes
    assert "DEPRECATION" not in done.stdout + done.stderr


def test_a_module_that_fails_is_told_as_ever(tmp_path: Path) -> None:
    done = run_play(tmp_path, [{"ansible.builtin.command": "false"}, WHO], *SHOWN, strategy="persistent")
    assert done.returncode == 2
    assert parents(done.stdout) == []
    assert "non-zero return code" in done.stdout + done.stderr
    assert errors(done) == []  # no traceback


def test_ansibles_own_way_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_STRATEGY", "linear")
    done = run_play(tmp_path, [WHO, WHO], *SHOWN, strategy="persistent")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(set(parents(done.stdout))) == 2
