"""Reading a run's folder: what may be missing, and what is said of what is damaged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from browser import folders
from fleet.report.load import ResultsError, load_run
from fleet.report.summary import Absence, absences, best_tested, device_summaries, fleet, last_tested

HOSTS = ("pi-1", "pi-2", "laptop")


def run_json(folder: Path, **changes: Any) -> Path:
    return folders.write_run(folder, folders.info(HOSTS, 3, **changes))


def rounds_csv(folder: Path, *rows: str) -> None:
    header = "round,loss,accuracy,train_loss,devices,failures,seconds,bytes_sent,bytes_received"
    (folder / "rounds.csv").write_text("\n".join((header, *rows, "")), encoding="utf-8")


def test_a_whole_folder(tmp_path: Path) -> None:
    run = load_run(folders.write_results(tmp_path, HOSTS, 3))
    assert [row.round for row in run.rounds] == [1, 2, 3]
    assert len(run.replies) == 9
    assert len(run.timings) == 36
    assert run.info.total_rounds == 3
    assert run.info.dataset is not None
    assert set(run.info.dataset.labels) == {0, 1, 2}
    assert run.info.started is not None
    assert run.info.started.isoformat() == "2026-11-22T03:20:11+00:00"


def test_run_json_alone_is_enough(tmp_path: Path) -> None:
    folders.write_run(tmp_path, {"run_id": "7", "status": "failed", "dataset": None, "server": None})
    run = load_run(tmp_path)
    assert (run.rounds, run.replies, run.timings, run.info.model) == ((), (), (), None)


def test_empty_and_nan_cells(tmp_path: Path) -> None:
    run_json(tmp_path)
    rounds_csv(tmp_path, "2,nan,0.5,inf,2,1,1.5,,", "1,,,,3,0,,10,20")
    first, second = load_run(tmp_path).rounds
    assert (first.round, first.loss, first.seconds, first.bytes_sent) == (1, None, None, 10)
    assert second.loss is not None
    assert math.isnan(second.loss)
    assert second.train_loss == math.inf


def test_an_app_may_leave_columns_out_and_add_its_own(tmp_path: Path) -> None:
    run_json(tmp_path)
    (tmp_path / "rounds.csv").write_text("round,loss,f1\n1,0.5,0.3\n", encoding="utf-8")
    (tmp_path / "timings.csv").write_text("", encoding="utf-8")
    run = load_run(tmp_path)
    assert run.rounds[0].loss == 0.5
    assert run.rounds[0].accuracy is None
    assert run.timings == ()


def test_control_characters_do_not_pass(tmp_path: Path) -> None:
    run_json(tmp_path, error="red \x1b[31m, zero \x00")
    assert load_run(tmp_path).info.error == "red \ufffd[31m, zero \ufffd"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("\xff", "Invalid JSON"),
        ("[]", "should be an object"),
        ('{"status": "finished"}', "run_id: Field required"),
        ('{"run_id": "7", "status": "done"}', "status is 'done'"),
        ('{"run_id": "7", "status": "failed", "seconds": "long"}', "seconds is 'long'"),
        ('{"run_id": "7", "status": "failed", "started": "yesterday"}', "started is 'yesterday'"),
        ('{"run_id": "7", "status": "failed", "devices": [{"host": "a"}]}', "devices.0.cid: Field required"),
        (
            '{"run_id": "7", "status": "failed", "devices": [{"host": "a", "cid": 3}, {"host": "b", "cid": 3}]}',
            "two devices have cid 3",
        ),
        (
            '{"run_id": "7", "status": "failed", "dataset": {"name": "d", "labels": {"0": [1, 2], "1": [3]}}}',
            "differ in length",
        ),
        (
            '{"run_id": "7", "status": "failed", "dataset": {"name": "d", "labels": {"0": [-1]}}}',
            "greater than or equal to 0",
        ),
    ],
)
def test_a_damaged_run_json(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ResultsError, match=r"run\.json: ") as error:
        load_run(tmp_path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["x,,,,,,,,"], "line 2: round is 'x'"),
        (["1,low,,,,,,,"], "line 2: loss is 'low'"),
        ([",0.5,,,,,,,"], "line 2: round: Field required"),
        (["-1,0.5,,,,,,,"], "line 2: round is '-1'"),
        (["1,0.5,,,4,0,1.0,5,5", "2,0.4"], "line 3 has 2 cells; expected 9"),
        (["1,0.5,,,,,,,", "1,0.4,,,,,,,"], "round 1 is there twice"),
        (['1,"0.5,,,,,,,'], "not CSV"),
    ],
)
def test_a_damaged_rounds_csv(tmp_path: Path, rows: list[str], words: str) -> None:
    run_json(tmp_path)
    rounds_csv(tmp_path, *rows)
    with pytest.raises(ResultsError, match=r"rounds\.csv: ") as error:
        load_run(tmp_path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_that_is_not_text(tmp_path: Path) -> None:
    run_json(tmp_path)
    (tmp_path / "devices.csv").write_bytes(b"round,cid\n1,\xff\n")
    with pytest.raises(ResultsError, match=r"devices\.csv: not CSV"):
        load_run(tmp_path)


def test_missing_folder_and_missing_run_json(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="not a folder"):
        load_run(tmp_path / "none")
    with pytest.raises(ResultsError, match=r"run\.json: No such file"):
        load_run(tmp_path)


def test_a_device_that_failed_is_found(tmp_path: Path) -> None:
    run_json(tmp_path)
    folders.write_rounds(tmp_path, HOSTS, 3, failed=[(2, 1)])
    run = load_run(tmp_path)
    assert absences(run) == {(1, 2): Absence.FAILED}
    assert [item.failures for item in device_summaries(run)] == [(0, 0), (1, 1), (0, 0)]
    assert [len(item.replies) for item in device_summaries(run)] == [3, 2, 3]


def test_failures_are_a_range_where_not_all_were_asked(tmp_path: Path) -> None:
    run_json(tmp_path)
    folders.write_rounds(tmp_path, HOSTS, 2, failed=[(2, 1), (2, 2)])
    table = tmp_path / "rounds.csv"
    last = table.read_text().splitlines()[-1].split(",")
    last[5] = "1"  # one of the two that left nothing failed, the other was not asked
    table.write_text("\n".join([*table.read_text().splitlines()[:-1], ",".join(last), ""]))
    run = load_run(tmp_path)
    assert [item.failures for item in device_summaries(run)] == [(0, 0), (0, 1), (0, 1)]
    last[5] = "0"
    table.write_text("\n".join([*table.read_text().splitlines()[:-1], ",".join(last), ""]))
    run = load_run(tmp_path)
    assert set(absences(run).values()) == {Absence.NOT_ASKED}


def test_an_unreachable_device_is_no_failure(tmp_path: Path) -> None:
    info = folders.info(HOSTS, 2)
    info["devices"][2]["reachable"] = False
    folders.write_run(tmp_path, info)
    folders.write_rounds(tmp_path, HOSTS[:2], 2, failed=[(1, 0)])
    run = load_run(tmp_path)
    assert absences(run) == {
        (0, 1): Absence.FAILED,
        (2, 1): Absence.UNREACHABLE,
        (2, 2): Absence.UNREACHABLE,
    }


def test_a_device_that_only_the_tables_know(tmp_path: Path) -> None:
    folders.write_run(tmp_path, folders.info(HOSTS[:2], 1))
    folders.write_rounds(tmp_path, HOSTS, 1)
    assert [device.host for device in fleet(load_run(tmp_path))] == list(HOSTS)


def test_best_and_last_round(tmp_path: Path) -> None:
    run_json(tmp_path)
    rounds_csv(tmp_path, "1,,0.7,,,,,,", "2,,0.9,,,,,,", "3,,0.8,,,,,,", "4,,nan,,,,,,", "5,,,,,,,,")
    rounds = load_run(tmp_path).rounds
    last, best = last_tested(rounds), best_tested(rounds)
    assert last is not None
    assert best is not None
    assert (last.round, best.round) == (4, 2)
