"""fleet.holder: one playbook at a time."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from fleet.holder import HeldError, began, hold


def test_who_holds_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "state" / "holder.json"
    hold(file, os.getppid(), "provision.yml")
    hold(file, os.getppid(), "provision.yml")  # one that holds it already
    with pytest.raises(HeldError, match=rf"held by provision\.yml, which \w+ started at .* \(process {os.getppid()}\)"):
        hold(file, os.getpid(), "run_fl.yml")
    assert [path.name for path in file.parent.iterdir()] == ["holder.json"]


def test_a_playbook_that_ended_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "holder.json"
    with subprocess.Popen(["sleep", "60"]) as other:
        hold(file, other.pid, "run_fl.yml")
        with pytest.raises(HeldError):
            hold(file, os.getpid(), "run_fl.yml")
        other.kill()
    hold(file, os.getpid(), "run_fl.yml")
    assert json.loads(file.read_text())["process"] == os.getpid()


def test_another_process_with_its_number_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "holder.json"
    hold(file, os.getppid(), "run_fl.yml")
    file.write_text(file.read_text().replace(began(os.getppid()), "Thu Jan  1 00:00:00 1970"))
    hold(file, os.getpid(), "run_fl.yml")


@pytest.mark.parametrize("content", ["", "{", "{}", "[]"])
def test_a_damaged_note_holds_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "holder.json"
    file.write_text(content)
    hold(file, os.getpid(), "run_fl.yml")
    assert json.loads(file.read_text())["playbook"] == "run_fl.yml"
