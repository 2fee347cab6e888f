"""fleet.run_record: run.json from what the playbook knows and what the app left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleet.run_record import compose, write

KNOWN: dict[str, Any] = {
    "run_id": "12",
    "status": "finished:completed",
    "details": "",
    "started": "2026-01-02T10:00:00.5+00:00",
    "ended": "2026-01-02T10:00:42.75+00:00",
    "app": {"name": "mine", "version": "1.0.0"},
    "settings": {"rounds": 3},
    "server": {"host": "s"},
    "dataset": None,
    "cids": {"a": 0, "gone": 3},
    "hosts": {"a": {"host": "a", "board": "Raspberry Pi 4", "cores": 4}},
    "resumed_from": None,
}


def test_a_finished_run() -> None:
    record = compose(KNOWN, {"model": {"name": "net"}, "warnings": ["odd"], "beginning": {"rank1": 0.1}})
    assert (record["beginning"], compose(KNOWN, {})["beginning"]) == ({"rank1": 0.1}, None)
    assert (record["warnings"], compose(KNOWN, {})["warnings"]) == (["odd"], [])
    assert (record["status"], record["error"], record["seconds"]) == ("finished", None, 42.2)
    assert record["model"] == {"name": "net"}
    assert set(record["versions"]) == {"flowerbed", "python", "flwr", "ansible"}
    assert all(record["versions"].values())


def test_every_device_has_a_row_with_all_columns_also_one_that_was_not_reached() -> None:
    here, gone = compose(KNOWN, {})["devices"]
    assert (here["host"], here["cid"], here["board"], here["reachable"]) == ("a", 0, "Raspberry Pi 4", True)
    assert (gone["host"], gone["cid"], gone["board"], gone["reachable"]) == ("gone", 3, None, False)
    assert set(here) == set(gone)


def test_what_held_a_board_back_is_there() -> None:
    said = {"before": "0x0", "after": "0x50005", "said": ["under-voltage", "throttled"]}
    here, gone = compose({**KNOWN, "throttled": {"a": {**said, "changed": False}}}, {})["devices"]
    assert (here["throttled"], gone["throttled"]) == (said, None)


@pytest.mark.parametrize(
    ("status", "details", "left", "expected", "error"),
    [
        ("finished:stopped", "", {}, "stopped", None),
        ("finished:failed", "", {"error": "out of memory"}, "failed", "out of memory"),
        ("finished:failed", "killed", {"error": None}, "failed", "killed"),
        ("finished:failed", "", {}, "failed", "the app ended with an error; logs/server/serverapp.log says which"),
        ("lost", "the SuperLink did not answer", {}, "failed", "the SuperLink did not answer"),
        ("finished:completed", "", {"error": "left over"}, "finished", None),
    ],
)
def test_status_and_error(status: str, details: str, left: dict[str, Any], expected: str, error: str | None) -> None:
    record = compose({**KNOWN, "status": status, "details": details}, left)
    assert (record["status"], record["error"]) == (expected, error)


def test_writes_the_file_and_points_latest_to_the_run(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "app.json").write_text('{"model": {"name": "net"}}')
        write(folder, {**KNOWN, "run_id": name})
        assert (tmp_path / "latest").resolve() == folder
    assert json.loads((tmp_path / "latest" / "run.json").read_text())["run_id"] == "two"
    assert json.loads((tmp_path / "one" / "run.json").read_text())["model"] == {"name": "net"}
    assert sorted(path.name for path in tmp_path.rglob("*.new")) == []


def test_the_command_reads_what_the_playbook_knows_from_stdin(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    command = [sys.executable, "-m", "fleet.run_record", str(folder)]
    subprocess.run(command, input=json.dumps(KNOWN), text=True, check=True)
    assert json.loads((folder / "run.json").read_text())["model"] is None
