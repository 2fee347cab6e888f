"""Measures the models of a plan one after the other, each in a process of its own, and notes each row at once.

The folder holds ``plan.json``; ``rows.jsonl``, a line for each model that is done; ``progress.json``; ``followed``,
which whoever follows the benchmark touches; and ``done`` at the end. A runner that is started again goes on where the
rows end.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vision_benchmark import apart, image_files, memory, sensors
from vision_benchmark.plan import Model, Plan

ROWS, PROGRESS, FOLLOWED, DONE = "rows.jsonl", "progress.json", "followed", "done"
ABANDONED = 300  # seconds after which a benchmark that nobody follows ends itself: it goes on when it is started again


class AbandonedError(Exception):
    """Nobody follows any more."""


class Runner:
    """The models of one folder's plan."""

    def __init__(self, folder: Path, command: Sequence[str], abandoned: float = ABANDONED) -> None:
        self.folder = folder
        self.plan = Plan.load(folder)
        self._command = list(command)
        self._abandoned = abandoned
        self._sensors = sensors.Sensors()
        self._begun = time.monotonic()
        self._work_done = 0.0

    def run(self) -> None:
        """Measure what has no row yet."""
        (self.folder / FOLLOWED).touch()
        _mend(self.folder / ROWS)
        left = self._left()
        self._sensors.start()
        try:
            if left and self.plan.dataset == "in_fs":
                self._note("images", 0, left)
                image_files.write_files(self.plan, self.folder / "images")
            while left:
                self._one(left[0], left)
                left = left[1:]
            shutil.rmtree(self.folder / "images", ignore_errors=True)
            (self.folder / DONE).touch()
        except (AbandonedError, SystemExit):  # in good order: the model that was interrupted is not to blame
            (self.folder / PROGRESS).unlink(missing_ok=True)
        finally:
            self._sensors.stop()

    def _left(self) -> list[Model]:
        """Return the models without a row; the one that the device went down with gets a row that says so."""
        done = {row["model"] for row in read_rows(self.folder)}
        progress = self._progress()
        left = [model for model in self.plan.models if model.name not in done]
        for model in left:
            if progress.get("model") == model.name and progress.get("tries", 0) >= 2:
                self._write(model, {"status": "failed", "reason": "the device went down twice while it was measured"})
        if self.plan.choose:
            there = memory.available_mb(self.plan.share)
            left = [model for model in left if memory.needed_mb(model, self.plan, self.plan.batch_size or 1) <= there]
        done = {row["model"] for row in read_rows(self.folder)}
        return [model for model in left if model.name not in done]

    def _one(self, model: Model, left: list[Model]) -> None:
        there = memory.available_mb(self.plan.share)
        batch_size = self.plan.batch_size or memory.largest_batch(model, self.plan, there)
        needed = memory.needed_mb(model, self.plan, batch_size or 1)
        if needed > there:
            why = f"takes about {needed} MB with batch_size={batch_size or 1}; {there} MB are free"
            self._write(model, {"status": "skipped", "reason": why, "batch_size": batch_size or 1})
            return
        tries = self._progress().get("tries", 0) if self._progress().get("model") == model.name else 0
        self._note(model.name, 0, left, tries=tries + 1)
        begun, before = time.time(), sensors.throttled()
        row = self._measure(model, batch_size, left, tries + 1)
        while row["status"] == "out of memory" and not self.plan.batch_size and batch_size > 1:
            batch_size //= 2
            row = self._measure(model, batch_size, left, tries + 1)
        end = time.time()
        self._work_done += self._work(model)
        row |= {
            "temperature_max": _rounded(self._sensors.hottest(begun, end), 1),
            "throttled": sensors.throttled_since(before, sensors.throttled()),
            "power_mode": sensors.power_mode(),
            **self._energy(row),
        }
        self._write(model, row)

    def _energy(self, row: dict[str, Any]) -> dict[str, float | None]:
        """Return mean power in the first task that was measured, and the energy of one of its images."""
        task = next((task for task in self.plan.tasks if f"t_{task}" in row), None)
        if task is None:
            return {}
        watts = self._sensors.mean_watts(row.pop(f"{task}_from"), row.pop(f"{task}_to"))
        for other in self.plan.tasks:
            row.pop(f"{other}_from", None), row.pop(f"{other}_to", None)
        seen = row[f"{task}_batches"] * row["batch_size"]
        joules = None if watts is None else watts * row[f"t_{task}"] / seen
        return {"power_w_mean": _rounded(watts, 2), "energy_j_per_image": _rounded(joules, 4)}

    def _measure(self, model: Model, batch_size: int, left: list[Model], tries: int) -> dict[str, Any]:
        """Return a model's row; note its progress meanwhile. Raises AbandonedError where nobody follows any more."""
        noted = 0.0

        def heard(said: dict[str, Any]) -> None:
            nonlocal noted
            if time.monotonic() - noted > 1:
                noted = time.monotonic()
                self._note(model.name, said["step"], left, said["task"], tries)
                self._end_where_abandoned()

        return apart.measure(self._command, self.folder, model.name, batch_size, heard)

    def _end_where_abandoned(self) -> None:
        followed = self.folder / FOLLOWED
        if not followed.exists() or time.time() - followed.stat().st_mtime > self._abandoned:
            raise AbandonedError

    def _work(self, model: Model) -> float:
        """Return how long a model takes beside others, in any unit: its arithmetic, and its start."""
        return model.gmacs * (self.plan.batch_size or 16) * self.plan.steps + 20

    def _note(self, model: str, step: int, left: list[Model], task: str = "start", tries: int = 1) -> None:
        """Write where the runner is, with the seconds that are left, which are known once a model is done."""
        ahead = sum(self._work(other) for other in left)
        remaining = (time.monotonic() - self._begun) / self._work_done * ahead if self._work_done else None
        content = {
            "model": model,
            "task": task,
            "step": step,
            "steps": self.plan.steps,
            "tries": tries,
            "models_left": len(left),
            "remaining": _rounded(remaining, 0),
        }
        beside = self.folder / f"{PROGRESS}.new"
        beside.write_text(json.dumps(content), encoding="utf-8")
        beside.replace(self.folder / PROGRESS)

    def _progress(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / PROGRESS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def _write(self, model: Model, row: dict[str, Any]) -> None:
        """Append a row, on the disk before anything else is done."""
        with (self.folder / ROWS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"model": model.name, **row}) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _mend(path: Path) -> None:
    """Cut off a last line that a power cut left unfinished."""
    content = path.read_bytes() if path.exists() else b""
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a folder."""
    try:
        lines = (folder / ROWS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def own_command() -> list[str]:
    """Return the command that runs this package again, from its archive or its folder."""
    place = Path(__file__).resolve().parents[1]
    if place.is_file():
        return [sys.executable, str(place)]
    return [sys.executable, "-m", "vision_benchmark"]
