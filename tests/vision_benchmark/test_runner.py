"""The runner: a process for each model, whatever becomes of it, and rows that outlast a cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from vision_benchmark import daemon, memory
from vision_benchmark.plan import Model, Plan
from vision_benchmark.runner import DONE, FOLLOWED, PROGRESS, ROWS, Runner, read_rows
from waits import wait_for

SMALL = {"parameters": 1.0, "gmacs": 0.1, "activation_mb": 1.0}
# Stands in for a measurement: what it does is its model's name.
STANDIN = """
import json, os, signal, sys, time
name, batch = sys.argv[3], int(sys.argv[4])
if name == "killed" or (name == "greedy" and batch > 8):
    os.kill(os.getpid(), signal.SIGKILL)
if name == "broken":
    sys.exit("Traceback\\nValueError: it broke")
if name == "refuses":
    print(json.dumps({"error": "no such image", "memory": False}))
    sys.exit()
for step in range(1000 if name == "endless" else 1):
    print(json.dumps({"task": "train", "step": step}), flush=True)
    time.sleep(0.05 if name == "endless" else 0)
now = time.time()
print(json.dumps({"result": {"batch_size": batch, "t_train": 1.0, "train_batches": 2, "train_ms": 500.0,
                             "train_ms_spread": 1.0, "train_from": now, "train_to": now}}))
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "standin.py").write_text(STANDIN)
    return [sys.executable, str(tmp_path / "standin.py")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    return made


def plan(folder: Path, *names: str, **more: Any) -> Plan:
    models = tuple(Model(name, **{**SMALL, **more.pop(name, {})}) for name in names)
    made = Plan(models, **{"tasks": ("train",), "steps": 2, "input_shape": (3, 32, 32), **more})
    (folder / "plan.json").write_text(made.to_json())
    return made


def statuses(folder: Path) -> dict[str, str]:
    return {row["model"]: row["status"] for row in read_rows(folder)}


def test_whatever_becomes_of_a_model_is_a_row_and_the_next_one_runs(folder: Path, command: list[str]) -> None:
    plan(folder, "good", "killed", "broken", "refuses", "vast", "last", vast={"parameters": 1e6})
    Runner(folder, command).run()
    assert statuses(folder) == {
        "good": "ok",
        "killed": "out of memory",
        "broken": "failed",
        "refuses": "failed",
        "vast": "skipped",
        "last": "ok",
    }
    rows = {row["model"]: row for row in read_rows(folder)}
    assert "killed for memory" in rows["killed"]["reason"]
    assert "ValueError: it broke" in rows["broken"]["reason"]
    assert rows["refuses"]["reason"] == "no such image"
    assert rows["vast"]["reason"].startswith("takes about ")
    assert "train_from" not in rows["good"]
    assert (folder / DONE).exists()


def test_a_batch_is_halved_until_it_fits(folder: Path, command: list[str]) -> None:
    plan(folder, "greedy", batch_size=0, num_images=64)
    Runner(folder, command).run()
    assert [(row["status"], row["batch_size"]) for row in read_rows(folder)] == [("ok", 8)]


def test_auto_leaves_out_what_does_not_fit(folder: Path, command: list[str]) -> None:
    plan(folder, "vast", "good", vast={"parameters": 1e6}, choose=True)
    Runner(folder, command).run()
    assert statuses(folder) == {"good": "ok"}


def test_goes_on_where_the_rows_end(folder: Path, command: list[str]) -> None:
    plan(folder, "killed", "good", "last")
    (folder / ROWS).write_text('{"model": "killed", "status": "ok"}\n{"model": "good", "sta')  # a power cut
    Runner(folder, command).run()
    text = (folder / ROWS).read_text()
    assert statuses(folder) == {"killed": "ok", "good": "ok", "last": "ok"}, text


def test_a_model_that_takes_the_board_down_twice_is_left_out(folder: Path, command: list[str]) -> None:
    plan(folder, "good", "last")
    (folder / PROGRESS).write_text(json.dumps({"model": "good", "tries": 2}))
    Runner(folder, command).run()
    assert statuses(folder) == {"good": "failed", "last": "ok"}


def test_ends_itself_where_nobody_follows(folder: Path, command: list[str]) -> None:
    plan(folder, "endless")
    runner = Runner(folder, command, abandoned=1.5)
    begun = time.monotonic()
    runner.run()
    assert time.monotonic() - begun < 30
    assert read_rows(folder) == []
    assert not (folder / DONE).exists()
    assert not (folder / PROGRESS).exists()  # the model is not to blame


def test_one_process_for_a_folder_which_ends_with_what_it_measures(folder: Path, command: list[str]) -> None:
    plan(folder, "endless")
    script = (
        "import sys; from pathlib import Path; from vision_benchmark import daemon\n"
        f"daemon.own_command = lambda: {command!r}\ndaemon.start(Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(daemon.__file__).parents[1])}

    def start() -> None:
        subprocess.run([sys.executable, "-c", script, str(folder)], env=environment, check=True, timeout=60)

    start()
    wait_for(lambda: (folder / PROGRESS).exists(), "no progress", 60)
    runner = psutil.Process(int((folder / daemon.LOCK).read_text()))
    wait_for(lambda: bool(runner.children()), "nothing is measured", 60)
    (child,) = runner.children()
    start()
    assert int((folder / daemon.LOCK).read_text()) == runner.pid
    assert daemon.alive(folder)
    assert daemon.stop(folder)
    assert not daemon.stop(folder)
    assert not daemon.alive(folder)
    assert (folder / daemon.STOPPED).exists()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert (folder / FOLLOWED).exists()


def test_the_largest_batch_is_the_one_that_is_estimated_to_fit() -> None:
    model = Model("m", parameters=10, gmacs=1, activation_mb=20)
    plan = Plan((model,), num_images=1000)
    size = memory.largest_batch(model, plan, 2000)
    assert memory.needed_mb(model, plan, size) <= 2000 < memory.needed_mb(model, plan, 2 * size)
    assert memory.largest_batch(model, plan, 100) == 0
    assert memory.largest_batch(model, plan, 10**9) == 512  # no more than there are images


def test_memory_is_what_is_free_or_a_share_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 4000000 kB\nMemAvailable:    1000000 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    assert (memory.available_mb(1.0), memory.available_mb(0.25)) == (1024, 256)
