"""A model that takes more memory than there is: the kernel ends it for real, and the next one runs."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cgroups import Group, group
from lab.errors import LabError
from vision_benchmark import daemon
from vision_benchmark.plan import Model, Plan
from vision_benchmark.runner import DONE, read_rows

LIMIT = 200  # MiB; the runner itself takes some 20
# A measurement that takes four times the limit, page by page, or what a small model takes.
MEASURES = """
import json, sys, time
held = [bytearray(b"x" * 2**20) for _ in range(800 if sys.argv[3] == "vast" else 10)]
now = time.time()
print(json.dumps({"result": {"batch_size": 2, "t_train": 1.0, "train_batches": 2, "train_ms": 500.0,
                             "train_ms_spread": 1.0, "train_from": now, "train_to": now}}))
"""
RUNS = (
    "import sys; from pathlib import Path; from vision_benchmark.runner import Runner\nRunner(Path({!r}), {!r}).run()"
)


@pytest.fixture
def bounded() -> Iterator[Group]:
    """A control group with little memory."""
    if os.geteuid() != 0:
        pytest.skip("a limit of memory needs root")
    try:
        made = group(f"flowerbed-memory-{uuid.uuid4().hex[:8]}/runner")
    except LabError as error:
        pytest.skip(str(error))
    try:
        made.make(LIMIT, 2)
        yield made
    finally:
        made.remove()


def test_the_kernel_ends_it_and_the_next_one_runs(tmp_path: Path, bounded: Group) -> None:
    (tmp_path / "measures.py").write_text(MEASURES)
    models = tuple(Model(name, parameters=1.0, gmacs=0.1, activation_mb=1.0) for name in ("vast", "small"))
    plan = Plan(models, tasks=("train",), steps=2, input_shape=(3, 32, 32), batch_size=2)
    (tmp_path / "plan.json").write_text(plan.to_json())
    script = RUNS.format(str(tmp_path), [sys.executable, str(tmp_path / "measures.py")])
    command = [*bounded.prefix(LIMIT, 2), sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(Path(daemon.__file__).parents[1])}
    done = subprocess.run(command, env=environment, timeout=120, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # the runner lives
    rows = {row["model"]: row for row in read_rows(tmp_path)}
    assert (rows["vast"]["status"], rows["vast"]["reason"]) == ("out of memory", "killed for memory")
    assert rows["small"]["status"] == "ok"
    assert (tmp_path / DONE).exists()
