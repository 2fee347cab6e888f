"""A run's rounds in the terminal."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from browser import folders
from fleet import rounds

HOSTS = ("pi-1", "pi-2", "laptop", "pi-3")


def test_the_line_of_a_round() -> None:
    row = {
        "round": "2",
        "loss": "0.41234",
        "accuracy": "0.8730",
        "devices": "4",
        "failures": "0",
        "seconds": "6.13",
    }
    assert rounds.format_round(row, 3) == "round 2/3  loss 0.412  accuracy 0.873  devices 4/4  6.1 s"


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({}, "round -/3  loss -  accuracy -  devices -  -"),
        (
            {"round": 1, "loss": None, "accuracy": "", "devices": 3, "failures": 1, "seconds": 75},
            "round 1/3  loss -  accuracy -  devices 3/4  1 min 15 s",
        ),
        (
            {"round": "1", "loss": "nan", "accuracy": "n/a", "devices": "nan", "seconds": "nan"},
            "round 1/3  loss nan  accuracy -  devices -  -",
        ),
    ],
)
def test_the_line_of_a_round_with_gaps(row: dict[str, object], line: str) -> None:
    assert rounds.format_round(row, 3) == line


def test_a_round_of_re_identification_has_ranks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"round": "2", "loss": "", "accuracy": "", "rank1": "0.25", "mAP": "0.1", "devices": "4", "failures": "0"}
    assert rounds.format_round(row, 3) == "round 2/3  rank1 0.250  mAP 0.100  devices 4/4  -"
    folders.write_run(tmp_path, folders.info(HOSTS, 1))
    (tmp_path / "rounds.csv").write_text("round,rank1,rank5,rank10,mAP\n1,0.25,0.5,0.6,0.1\n")
    assert run(monkeypatch, tmp_path) == 0
    output = capsys.readouterr().out
    assert "rank1" in output
    assert "finished: 1 of 1 round, rank 1 25.0 %" in output


def test_the_line_without_a_total() -> None:
    assert rounds.format_round({"round": "2"}, None).startswith("round 2  loss -")


def test_the_line_takes_a_row_of_the_csv(tmp_path: Path) -> None:
    folders.write_results(tmp_path, HOSTS, 2)
    with (tmp_path / "rounds.csv").open(newline="") as file:
        lines = [rounds.format_round(row, 2) for row in csv.DictReader(file)]
    assert lines[1].startswith("round 2/2  loss 0.")
    assert "devices 4/4" in lines[1]


def run(monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    monkeypatch.setattr("sys.argv", ["fleet.rounds", str(folder)])
    return rounds.main()


def test_the_table_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.write_results(tmp_path, HOSTS, 3)
    (tmp_path / "report.html").write_text("")
    assert run(monkeypatch, tmp_path) == 0
    output = capsys.readouterr().out
    with (tmp_path / "rounds.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert f" {float(row['loss']):.3f} " in output
            assert f" {100 * float(row['accuracy']):.1f} % " in output or f" {float(row['accuracy']):.3f} " in output
    assert output.count(" 4/4 ") == 3
    last = output.splitlines()[-2:]
    assert last[0].startswith("finished: 3 of 3 rounds, accuracy ")
    assert last[1] == f"report: {tmp_path.resolve()}/report.html"


def test_a_run_that_failed_in_round_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.write_run(tmp_path, folders.info(HOSTS, 3, status="failed", error="[red]pi-2[/red]\ndid not answer"))
    assert run(monkeypatch, tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "No rounds were recorded."
    assert lines[1] == "failed: 0 of 3 rounds, 1 min 25 s ([red]pi-2[/red] did not answer)"
    assert lines[2] == f"no report in {tmp_path}"


def test_a_foreign_app_that_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.write_run(tmp_path, {"run_id": "7", "status": "finished", "settings": {"rounds": 3}})
    assert run(monkeypatch, tmp_path) == 0
    assert "\nfinished\n" in capsys.readouterr().out


def test_a_folder_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path) == 2
    captured = capsys.readouterr()
    assert captured.err == f"ERROR: {tmp_path}/run.json: No such file or directory\n"
    assert captured.out == ""
