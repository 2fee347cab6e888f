"""Runs whose server went away in the middle, and the runs that go on from what they left."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from safetensors.numpy import load_file

from .app_fleet import Run, app_json, last, read_csv

QUICK: dict[str, Any] = {"epochs": 1, "rounds": 2, "model": "mnist_cnn"}
WHOLE: dict[str, Any] = {**QUICK, "rounds": 3}


def interrupted_in(number: int) -> Callable[[int, Message], Message]:
    """Return a fault: Flower interrupts a ServerApp whose SuperLink is gone."""

    def fault(node: int, message: Message) -> Message:
        if message.content.config_records["config"]["server-round"] == number and node == 101:
            raise KeyboardInterrupt
        return message

    return fault


@pytest.fixture
def cut(run: Run) -> Path:
    with pytest.raises(KeyboardInterrupt):
        run(**WHOLE, fault=interrupted_in(2))
    return last[-1]


def test_the_lock_tells_a_run_that_was_cut_off(run: Run, cut: Path) -> None:
    with (cut / "alive").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where somebody holds it
    assert not (run(**QUICK) / "alive").exists()


def test_goes_on_to_the_model_of_an_unbroken_run_without_losing_a_row(run: Run, cut: Path) -> None:
    whole = run(**WHOLE)
    rest = run(**WHOLE, continue_from=str(cut))
    assert [row["round"] for row in read_csv(rest / "rounds.csv")] == ["1", "2", "3"]
    assert [row["round"] for row in read_csv(rest / "devices.csv")] == list("111222333")
    assert len(read_csv(rest / "timings.csv")) == len(read_csv(whole / "timings.csv"))
    for number in range(4):
        expected, found = (load_file(f / "model" / f"round-{number}.safetensors") for f in (whole, rest))
        assert all(np.array_equal(expected[name], found[name]) for name in expected)
    told = app_json(rest)
    assert told["resumed_from"] is None
    assert [outage["after_round"] for outage in told["outages"]] == [1]
    assert 0 <= told["outages"][0]["seconds"] < 600


def test_a_round_whose_row_is_torn_is_trained_again(run: Run) -> None:
    torn = run(**WHOLE)
    table = torn / "rounds.csv"
    table.write_text(table.read_text()[:-5])
    rest = run(**WHOLE, continue_from=str(torn))
    assert read_csv(rest / "rounds.csv")[1]["loss"] == read_csv(torn / "rounds.csv")[1]["loss"]
    assert [row["round"] for row in read_csv(rest / "rounds.csv")] == ["1", "2", "3"]
    assert [row["round"] for row in read_csv(rest / "devices.csv")] == list("111222333")


def test_what_was_cut_off_before_it_began_begins(run: Run, tmp_path: Path) -> None:
    begun = run(**QUICK, continue_from=str(tmp_path))
    assert [row["round"] for row in read_csv(begun / "rounds.csv")] == ["1", "2"]
    assert app_json(begun)["outages"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk that is full is a mount, which needs root")
def test_a_disk_that_is_full_is_an_outage(run: Run, home: Path) -> None:
    whole = run(**WHOLE)
    disk = home / "runs"
    disk.rename(home / "elsewhere")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
    try:

        def filled(node: int, message: Message) -> Message:
            if message.content.config_records["config"]["server-round"] == 2 and not (disk / "filler").exists():
                (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
            return message

        with pytest.raises(OSError, match="No space left"):
            run(**WHOLE, fault=filled)
        cut = last[-1]
        assert (cut / "alive").exists()  # as of a run whose server was away, and held by nobody
        (disk / "filler").unlink()
        rest = run(**WHOLE, continue_from=str(cut))
        assert [row["round"] for row in read_csv(rest / "rounds.csv")] == ["1", "2", "3"]
        assert [outage["after_round"] for outage in app_json(rest)["outages"]] == [1]
        found = load_file(rest / "model" / "round-3.safetensors")
    finally:
        subprocess.run(["umount", disk], check=True)
    expected = load_file(home / "elsewhere" / whole.name / "model" / "round-3.safetensors")
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
