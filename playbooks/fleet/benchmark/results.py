"""The rows of a benchmark: what the devices measured, put together with what is known of models and boards."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.benchmark import TASKS, models
from fleet.benchmark.plan import RECORD, ROWS, read_rows

FILE = "benchmark.csv"
REFERENCE = Path(__file__).with_name("reference")
#: The columns of Embedded Federated Vision, then those of this benchmark. Milliseconds are medians of batches; a spread
#: is the distance between the quartiles. `ms_per_batch` is the first task's of those that were asked for.
#: `contiguous_ms` and `channels_last_ms` are the fastest of the few batches that each layout was tried with.
COLUMNS = (
    *("t_finetune", "finetune_batches", "t_train", "train_batches", "model", "num_classes", "num_images"),
    *("input_shape", "parameters", "gmacs", "top1", "top5"),
    *("host", "board", "device", "status", "reason", "batch_size", "dataset", "threads", "torch"),
    *("ms_per_batch", "ms_per_batch_spread", "images_per_second", "peak_memory_mb", "gpu_memory_mb"),
    *("temperature_max", "throttled", "power_mode", "power_w_mean", "energy_j_per_image"),
    *("memory_format", "contiguous_ms", "channels_last_ms", "train_ms", "train_ms_spread"),
    *("finetune_ms", "finetune_ms_spread", "t_evaluate", "evaluate_batches", "evaluate_ms", "evaluate_ms_spread"),
)


class BenchmarkError(Exception):
    """A file that is no benchmark; one line for the user."""


@dataclass(frozen=True)
class Row:
    """A device and a model. Milliseconds are of one batch, by task; what is not known is None or empty."""

    host: str
    board: str
    model: str
    status: str
    reason: str
    batch_size: int | None
    milliseconds: dict[str, float]
    values: dict[str, str]  # the whole row of the file

    def ms_per_image(self, task: str) -> float | None:
        """Return the milliseconds of one image in a task."""
        found = self.milliseconds.get(task)
        return found / self.batch_size if found is not None and self.batch_size else None

    def images_per_second(self, task: str) -> float | None:
        """Return the images of a second in a task."""
        found = self.ms_per_image(task)
        return 1000 / found if found else None

    def number(self, column: str) -> float | None:
        """Return a column's number."""
        return _number(self.values.get(column, ""))


def collect(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a benchmark's folder, with every column of `COLUMNS`."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    plan, hosts = record["plan"], record.get("hosts", {})
    counted = {model["name"]: model for model in plan["models"]}
    table = models.table()
    rows = []
    for path in sorted((folder / ROWS).glob("*.jsonl")):
        host = hosts.get(path.stem, {})
        for measured in read_rows(folder, path.stem):
            name = measured["model"]
            entry = table.get(name)
            row: dict[str, Any] = {
                **{key: plan[key] for key in ("num_classes", "num_images", "input_shape", "dataset")},
                **{key: counted.get(name, {}).get(key) for key in ("parameters", "gmacs")},
                "top1": entry.top1 if entry else None,
                "top5": entry.top5 if entry else None,
                "host": path.stem,
                "board": host.get("board"),
                "torch": host.get("torch"),
                **measured,
            }
            row |= _first_task(row, plan["tasks"])
            rows.append({column: row.get(column) for column in COLUMNS})
    return rows


def _first_task(row: Mapping[str, Any], tasks: Iterable[str]) -> dict[str, float | None]:
    task = next((task for task in tasks if row.get(f"{task}_ms")), None)
    if task is None:
        return {}
    return {
        "ms_per_batch": row[f"{task}_ms"],
        "ms_per_batch_spread": row[f"{task}_ms_spread"],
        "images_per_second": round(1000 * row["batch_size"] / row[f"{task}_ms"], 3),
    }


def write_csv(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write rows as a file, whole or not at all; what is not known is empty."""
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: "" if value is None else value for name, value in row.items()})
    beside.replace(path)


def references() -> dict[str, Path]:
    """Return the published tables that ship, by their names."""
    return {path.stem: path for path in sorted(REFERENCE.glob("*.csv"))}


def load(given: str) -> list[Row]:
    """Return the rows of a benchmark's folder or file, or of a published table.

    Raises BenchmarkError where there is none.
    """
    path = references().get(given) or Path(given).expanduser()
    if path.is_dir():
        path /= FILE
    if not path.is_file():
        names = ", ".join(references())
        raise BenchmarkError(f"{given}: there is no {path}; allowed: a benchmark's folder or file, or {names}")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = {"model", "host"} - set(reader.fieldnames or ())
        if missing:
            raise BenchmarkError(f"{path} has no column {' and '.join(sorted(missing))}; allowed: a benchmark.csv")
        published = {entry.published_as: entry.name for entry in models.table().values()}
        return [_row(values, published) for values in reader]


def _row(values: dict[str, str], published: Mapping[str, str]) -> Row:
    batch = _number(values.get("batch_size", ""))
    found = {}
    for task in TASKS:
        middle = _number(values.get(f"{task}_ms", ""))
        seconds, batches = _number(values.get(f"t_{task}", "")), _number(values.get(f"{task}_batches", ""))
        if middle is None and seconds is not None and batches:  # the published benchmark's own tables have sums alone
            middle = 1000 * seconds / batches
        if middle is not None:
            found[task] = middle
    return Row(
        host=values["host"],
        board=values.get("board", ""),
        model=published.get(values["model"], values["model"]),
        status=values.get("status", "ok"),
        reason=values.get("reason", ""),
        batch_size=None if batch is None else int(batch),
        milliseconds=found,
        values=values,
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
