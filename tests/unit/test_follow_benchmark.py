"""The action follow_benchmark: rows come as they are measured, a runner that is gone is started again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from unit.test_plugins_actions import act

# Stands in for the measuring package: each start measures one model more, and then its process is gone.
STANDIN = """
import sys
from pathlib import Path
folder = Path(sys.argv[2])
starts = folder / "starts"
number = len(starts.read_text()) if starts.exists() else 0
starts.write_text("x" * (number + 1))
if number < LAST:
    with (folder / "rows.jsonl").open("a") as file:
        file.write('{"model": "m%d", "status": "skipped", "reason": "too large"}\\n' % number)
    (folder / "progress.json").write_text('{"model": "m", "task": "train", "step": 1, "steps": 2, "remaining": 5}')
else:
    (folder / ENDS).touch()
(folder / "runner.log").write_text("it broke")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "there"
    made.mkdir()
    return made


def follow(folder: Path, last: int, ends: str) -> tuple[str, dict[str, object], list[str]]:
    script = folder / "standin.py"
    script.write_text(STANDIN.replace("LAST", str(last)).replace("ENDS", repr(ends)))
    dest = folder.parent / "rows" / "pi.jsonl"
    arguments = {"folder": str(folder), "command": f"{sys.executable} {script}", "dest": str(dest), "models": 2}
    shown, _, result = act(folder.parent, "follow_benchmark", arguments)
    rows = [json.loads(line)["model"] for line in dest.read_text().splitlines()] if dest.exists() else []
    return shown, result, rows


def test_it_is_followed_to_its_end_over_a_reboot(folder: Path) -> None:
    shown, result, rows = follow(folder, 2, "done")
    assert (result["complete"], result["rows"], rows) == (True, 2, ["m0", "m1"])
    assert "\nlocalhost  1/2  m0  skipped: too large\n" in shown
    assert "\nlocalhost  2/2  m1  skipped: too large\n" in shown
    assert (folder.parent / "rows" / "pi.done").exists()


def test_a_row_that_is_here_already_is_not_kept_twice(folder: Path) -> None:
    (folder.parent / "rows").mkdir()
    (folder.parent / "rows" / "pi.jsonl").write_text('{"model": "m0", "status": "ok"}\n')
    _, result, rows = follow(folder, 2, "done")
    assert (result["rows"], rows) == (2, ["m0", "m1"])


def test_one_that_ends_again_and_again_is_given_up_with_its_last_word(folder: Path) -> None:
    shown, result, rows = follow(folder, 9, "done")
    assert (result["complete"], rows) == (False, ["m0", "m1", "m2", "m3"])
    assert "[WARNING]: localhost: what measures ended: it broke" in shown
    assert not (folder.parent / "rows" / "pi.done").exists()


def test_a_measurement_that_cannot_be_started_is_told(folder: Path) -> None:
    (folder.parent / "rows").mkdir()
    arguments = {"folder": str(folder), "command": "/nowhere/python", "dest": str(folder.parent / "rows" / "pi.jsonl")}
    shown, _, result = act(folder.parent, "follow_benchmark", {**arguments, "models": 2})
    assert not result["complete"]
    assert "localhost: the measurement cannot be started: " in shown
    assert "/nowhere/python" in shown


def test_one_that_is_stopped_stays_so(folder: Path) -> None:
    _, result, rows = follow(folder, 1, "stopped")
    assert (result["complete"], rows, result["reason"]) == (False, ["m0"], "localhost was stopped")
    assert (folder / "starts").read_text() == "xx"
