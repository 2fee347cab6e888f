"""A measurement for real, on small images."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from fleet.benchmark import models
from vision_benchmark import image_files, zoo
from vision_benchmark.clock import Clock, middle_and_spread
from vision_benchmark.images import Batches
from vision_benchmark.plan import Model, Plan
from vision_benchmark.size import size
from vision_benchmark.tasks import Bench

PACKAGE = models.PACKAGE
SMALL = Plan(
    models=(Model("mobilenetv3_small_050", 1.6, 0.001, 1.0, ("conv_head", "classifier")),),
    steps=3,
    batch_size=4,
    dataset="in_fs",
    input_shape=(3, 32, 32),
    num_classes=5,
    num_images=8,
)


def measure(folder: Path, batch: int, memory: int = 0) -> list[dict[str, Any]]:
    """Measure the first model of a folder's plan in a process of its own; return the lines that it says."""

    def bound() -> None:
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    name = Plan.load(folder).models[0].name
    done = subprocess.run(
        [sys.executable, "-m", "vision_benchmark", "measure", str(folder), name, str(batch)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        preexec_fn=bound,
        timeout=120,
        check=False,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_model_is_trained_finetuned_and_evaluated(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(SMALL.to_json())
    image_files.write_files(SMALL, tmp_path / "images")
    assert len(list((tmp_path / "images" / "images").glob("class-*/*.jpeg"))) == 8
    *steps, last = measure(tmp_path, 4)
    row = last["result"]
    for task in ("train", "finetune", "evaluate"):
        assert [step["step"] for step in steps if step["task"] == task] == [1, 2, 3]
        assert row[f"{task}_batches"] == 3
        assert 0 < row[f"{task}_ms"] < 1000 * row[f"t_{task}"]
    assert row["peak_memory_mb"] > 100
    faster = min(("contiguous", "channels_last"), key=lambda layout: float(row[f"{layout}_ms"]))
    assert row["memory_format"] == faster


def test_fine_tuning_trains_what_was_chosen_and_computes_no_other_gradients() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 8), torch.nn.Linear(8, 5))
    bench = Bench(model, cast(Batches, None), torch.device("cpu"))
    images, labels = torch.ones(2, 3, 2, 2), torch.tensor([0, 1])
    for chosen, trained in ((model[2].parameters(), [False, False, True, True]), (None, [True] * 4)):
        before = [parameter.clone() for parameter in model.parameters()]
        bench.trainer(chosen)(images, labels)
        after = list(model.parameters())
        assert [not torch.equal(*both) for both in zip(before, after, strict=True)] == trained
        assert [parameter.grad is not None for parameter in after] == trained


def test_memory_that_ends_is_said_as_such(tmp_path: Path) -> None:
    plan = Plan((Model("resnet18", 11.7, 1.8, 22.0),), steps=1, num_images=40000)
    (tmp_path / "plan.json").write_text(plan.to_json())
    (said,) = measure(tmp_path, 40000, memory=4 << 30)
    assert said["memory"], said


@pytest.mark.parametrize("name", ["mobilenetv3_small_100", "vit_tiny_patch16_224"])
def test_the_table_holds_what_is_counted(name: str) -> None:
    entry, counted = models.table()[name], size(name, models.SHAPE, models.CLASSES)
    assert (entry.parameters, entry.gmacs, entry.activation_mb) == (
        counted.parameters,
        counted.gmacs,
        counted.activation_mb,
    )


@pytest.mark.parametrize("name", [name for name, entry in models.table().items() if not entry.unavailable])
def test_timm_has_each_model_of_the_table(name: str) -> None:
    assert zoo.known(name)


def test_what_is_unavailable_is_not_in_timm() -> None:
    assert not any(zoo.known(name) for name, entry in models.table().items() if entry.unavailable)


def test_the_head_is_what_the_table_says_or_timms_classifier() -> None:
    with torch.device("meta"):
        model = zoo.create("mobilenetv3_small_050", (3, 32, 32), 5)
    inner = {id(parameter) for parameter in model.get_classifier().parameters()}  # type: ignore[operator]
    assert {id(parameter) for parameter in zoo.head_parameters(model, ())} == inner
    assert inner < {id(parameter) for parameter in zoo.head_parameters(model, ("conv_head", "classifier"))}
    with pytest.raises(ValueError, match="no parameters in nothing"):
        zoo.head_parameters(model, ("nothing",))


def test_a_transformer_takes_images_of_another_size() -> None:
    with torch.device("meta"):
        model = zoo.create("vit_tiny_patch16_224", (1, 64, 96), 7)
        assert model(torch.empty(2, 1, 64, 96)).shape == (2, 7)


def test_the_clock_says_the_time_of_each_batch() -> None:
    clock = Clock(torch.device("cpu"))
    for _ in range(4):
        clock.mark()
    times = clock.milliseconds()
    assert len(times) == 3
    assert min(times) >= 0
    assert middle_and_spread([4.0, 1.0, 2.0, 3.0]) == (2.5, 1.5)
    assert middle_and_spread([7.0]) == (7.0, 0.0)
