"""What a benchmark says in the terminal while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet.benchmark import TASKS
from fleet.report import text


def row_line(host: str, number: int, models: int, row: Mapping[str, Any], progress: Mapping[str, Any]) -> str:
    """The line of a model: ``pi4  3/16  resnet18  train 5840 ms  2.7 images/s  812 MB  9 min left``."""
    head = f"{host}  {number}/{models}  {row['model']}"
    tasks = [task for task in TASKS if row.get(f"{task}_ms")]
    if not tasks:
        return f"{head}  {row['status']}: {row.get('reason', '')}"
    parts = [f"{task} {_milliseconds(row[f'{task}_ms'])}" for task in tasks]
    parts.append(f"{1000 * row['batch_size'] / row[f'{tasks[0]}_ms']:.3g} images/s")
    if row.get("peak_memory_mb"):
        parts.append(text.megabytes(row["peak_memory_mb"]))
    return _plain("  ".join([head, *parts]) + (f"  {left}" if (left := _left(progress)) and number < models else ""))


def fitting_line(host: str, number: int, models: int) -> str:
    """What is said at the end of a device where models were left out: ``pi4: 9 of 16 models fit into its memory``."""
    if number:
        return f"{host}: {number} of {models} models fit into its memory"
    return f"{host}: none of {models} models fits into its memory; smaller batches take less (-e batch_size=auto)"


def heartbeat(host: str, progress: Mapping[str, Any]) -> str:
    """Where a device is: ``pi4: vit_base_patch16_224, train 7 of 20, 12 min left``."""
    where = "makes its images" if progress["model"] == "images" else progress["model"]
    step = f", {progress['task']} {progress['step']} of {progress['steps']}" if progress["step"] else ""
    left = _left(progress)
    return _plain(f"{host}: {where}{step}" + (f", {left}" if left else ""))


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"


def _left(progress: Mapping[str, Any]) -> str:
    return f"{text.seconds(progress['remaining'])} left" if progress.get("remaining") else ""


def _plain(words: str) -> str:
    return words.replace("\u00a0", " ")
