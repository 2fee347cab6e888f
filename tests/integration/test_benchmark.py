"""benchmark.yml on devices of this machine: what a user sees, and what it leaves, also when it was cut off."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
from pathlib import Path

import psutil

from waits import wait_for

from .conftest import ENVIRONMENT, PROJECT, LocalFleet

MODELS = ["mobilenetv3_small_100", "resnet18", "vit_tiny_patch16_224", "efficientvit_b0"]
SMALL = (f"models={','.join(MODELS)}", "steps=2", "batch_size=2", "input_shape=3,64,64", "num_classes=10", "threads=1")


def measuring(fleet: LocalFleet) -> list[psutil.Process]:
    return [process for process, command in fleet.commands().items() if "vision_benchmark" in command]


def test_what_was_cut_off_goes_on_and_leaves_its_files(fleet: LocalFleet, tmp_path: Path) -> None:
    said = tmp_path / "said"
    options = ("--limit", "device1")
    cut = subprocess.Popen(
        fleet.command("benchmark", *SMALL, options=options),
        cwd=PROJECT,
        env=ENVIRONMENT,
        stdout=said.open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_for(lambda: "  1/4  " in said.read_text() or cut.poll() is not None, "no model was measured", 240)
    finally:
        os.killpg(cut.pid, signal.SIGKILL)
        cut.wait()
    assert "  1/4  mobilenetv3_small_100  train " in said.read_text()
    assert len(measuring(fleet)) > 0  # a connection that is lost does not end them

    done = fleet.play("benchmark", *SMALL, options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "-benchmark, which was cut off after " in done.stdout
    folder = (fleet.results / "latest-benchmark").resolve()
    with (folder / "benchmark.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["host"], row["model"]) for row in rows] == [("device1", model) for model in MODELS]
    for row in rows:
        assert (row["status"], row["train_batches"], row["input_shape"]) == ("ok", "2", "[3, 64, 64]"), row
        assert float(row["ms_per_batch"]) > 0
        assert float(row["top1"]) > 60
        assert row["threads"] == "1"
    assert (folder / "benchmark.html").stat().st_size > 20_000
    assert f"page:  {folder}/benchmark.html" in done.stdout
    assert not measuring(fleet)
    assert list((fleet.folder / "state/device1/benchmark").iterdir()) == []


def test_a_model_that_does_not_exist_is_one_line(fleet: LocalFleet) -> None:
    done = fleet.play("benchmark", "models=resnet1x")
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    assert errors == [
        "ERROR: models=resnet1x (extra var) is no model of timm (did you mean resnet18?); "
        "allowed: auto, all, or names of timm's models with commas between them"
    ]
