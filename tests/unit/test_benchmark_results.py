"""What is made of a benchmark: its table, its comparison with another, and an estimate of a round."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fleet.benchmark import estimate
from fleet.benchmark.compare import compare_table, overall, pairs
from fleet.benchmark.progress import fitting_line, heartbeat, row_line
from fleet.benchmark.results import COLUMNS, BenchmarkError, load
from unit.benchmarks import NAMES, made, row, skipped, table_row

PUBLISHED_COLUMNS = (
    "t_finetune,finetune_batches,t_train,train_batches,model,num_classes,num_images,input_shape,parameters,gmacs,"
    "top1,top5"
)


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "benchmark.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_device_and_model_with_the_published_columns(tmp_path: Path) -> None:
    folder = made(
        tmp_path, {"pi": [row("resnet18", 800), skipped("vit_tiny_patch16_224")], "orin": [row("resnet18", 200)]}
    )
    found = read(folder)
    assert tuple(found[0]) == COLUMNS
    assert (folder / "benchmark.csv").read_text().startswith(f"{PUBLISHED_COLUMNS},host,board,device,status,reason,")
    assert [(one["host"], one["model"], one["status"]) for one in found] == [
        ("orin", "resnet18", "ok"),
        ("pi", "resnet18", "ok"),
        ("pi", "vit_tiny_patch16_224", "skipped"),
    ]
    entry, pi = table_row("resnet18"), found[1]
    assert (float(pi["gmacs"]), float(pi["top1"])) == (entry.gmacs, entry.top1)
    assert (pi["t_train"], pi["train_batches"], pi["input_shape"]) == ("16.0", "20", "[3, 224, 224]")
    assert (pi["ms_per_batch"], pi["images_per_second"], pi["board"]) == ("800", "20.0", "Board of pi")
    assert (found[2]["t_train"], found[2]["reason"]) == ("", "takes about 6000 MB; 900 MB are free")


def test_the_published_table_is_there_to_compare_with() -> None:
    rows = load("raspberry-pi-5")
    assert len(rows) == 16
    assert {one.board for one in rows} == {"Raspberry Pi 5"}
    tiny = next(one for one in rows if one.model == "vit_tiny_patch16_224")  # published as vit_tiny
    assert tiny.milliseconds["train"] == pytest.approx(59784.251 / 20)
    assert tiny.ms_per_image("finetune") == pytest.approx(22941.065 / 20 / 16)


def test_two_benchmarks_side_by_side_as_ratios(tmp_path: Path) -> None:
    before = load(str(made(tmp_path / "a", {"pi": [row("resnet18", 800), row("efficientvit_b0", 100)]})))
    after = load(
        str(made(tmp_path / "b", {"pi": [row("resnet18", 200, batch=8), skipped("efficientvit_b0")], "orin": []}))
    )
    found = pairs(before, after)
    (compared,) = found.values()
    assert list(found) == [("pi", "pi")]
    assert [(pair.model, pair.ratio("train")) for pair in compared] == [("resnet18", 2.0)]  # of an image
    assert overall(compared, "train") == pytest.approx(2.0)
    shown = Console(file=io.StringIO(), width=160)
    shown.print(compare_table(("pi", "pi"), compared))
    assert "resnet18" in shown.file.getvalue()  # type: ignore[attr-defined]


def test_devices_of_other_names_are_each_compared_with_each() -> None:
    rows = load("raspberry-pi-5")
    mine = [*rows[:2]]
    other = [type(one)(**{**vars(one), "host": host}) for host in ("a", "b") for one in rows]
    assert {hosts: len(found) for hosts, found in pairs(mine, other).items()} == {
        ("published-pi5", "a"): 2,
        ("published-pi5", "b"): 2,
    }


def test_the_command_compares_one_device_of_each(tmp_path: Path) -> None:
    folder = made(tmp_path, {"pi": [row("resnet18", 5842.5)], "orin": [row("resnet18", 100)]})

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fleet.benchmark.compare", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("raspberry-pi-5", f"{folder}:pi")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "resnet18" in line]
    assert " 1.00 " in line
    wrong = run("raspberry-pi-5", f"{folder}:zero")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.endswith("has no device zero; allowed: orin, pi\n")
    assert "there is no nowhere; allowed: " in run("nowhere", "raspberry-pi-5").stderr


def test_what_is_no_benchmark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "benchmark.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BenchmarkError, match="has no column host and model"):
        load(str(tmp_path))


SETTINGS = {"model": "timm/resnet18", "epochs": 2, "validation_fraction": 0.1, "fraction_evaluate": 1.0}


def test_a_round_is_estimated_by_its_slowest_device(tmp_path: Path) -> None:
    made(tmp_path, {"pi": [row("resnet18", 1600)], "orin": [row("resnet18", 160)]})
    found = [one for host in ("pi", "orin", "new") if (one := estimate.of_device(tmp_path, host, SETTINGS, 100, 224))]
    assert [one.host for one in found] == ["pi", "orin"]
    # 90 images twice at 100 ms, then 10 of its own at 25 ms
    assert found[0].seconds == pytest.approx(18.25)
    assert estimate.lines(found, 3) == [
        "a round of training takes about 18.2 s on pi, the slowest of the 2 of 3 devices that were benchmarked "
        "(orin 1.8 s), by a benchmark of this fleet"
    ]
    half = estimate.of_device(tmp_path, "pi", SETTINGS, 100, 112)
    assert half is not None
    assert half.seconds == pytest.approx(18.25 / 4)
    assert estimate.lines([half], 1)[0].endswith("by a benchmark of this fleet with images of another size")


def test_nothing_is_said_of_a_model_that_was_not_measured(tmp_path: Path) -> None:
    made(tmp_path, {"pi": [row("resnet18", 1600)]})
    asked = {"results": str(tmp_path), "cids": {"pi": 0}, "labels": {"0": [5, 5]}, "side": 28}

    def said(model: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "fleet.benchmark.estimate"],
            input=json.dumps({**asked, "settings": {**SETTINGS, "model": model}}),
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    assert said("net") == []
    assert len(said("timm/resnet18")) == 1


def test_a_line_for_each_model() -> None:
    left = {"model": "x", "task": "train", "step": 7, "steps": 20, "remaining": 600.0}
    assert row_line("pi4", 3, 16, row(NAMES[0], 5840), left) == (
        "pi4  3/16  resnet18  train 5840 ms  finetune 1947 ms  evaluate 1460 ms  2.74 images/s  812 MB"
        "  10 min 00 s left"
    )
    assert row_line("pi4", 16, 16, skipped("vgg16"), {}) == (
        "pi4  16/16  vgg16  skipped: takes about 6000 MB; 900 MB are free"
    )
    assert fitting_line("pi4", 9, 16) == "pi4: 9 of 16 models fit into its memory"
    assert "-e batch_size=auto" in fitting_line("zero", 0, 16)
    assert heartbeat("pi4", left) == "pi4: x, train 7 of 20, 10 min 00 s left"
