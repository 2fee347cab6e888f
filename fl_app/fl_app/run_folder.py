"""The folder of a run on the server: tables that grow by whole rows, checkpoints, and app.json."""

import csv
import fcntl
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FULL = 1 << 20  # bytes that are left of a full disk: too few for a model and for the SuperLink's database
COLUMNS = {
    "rounds": (
        "round",
        "loss",
        "accuracy",
        "train_loss",
        "devices",
        "failures",
        "seconds",
        "bytes_sent",
        "bytes_received",
        "train_accuracy",
        "eval_loss",
        "eval_accuracy",
        "rank1",
        "rank5",
        "rank10",
        "mAP",
        "eval_rank1",
        "eval_mAP",
    ),
    "devices": (
        "round",
        "cid",
        "host",
        "examples",
        "train_loss",
        "train_seconds",
        "eval_loss",
        "eval_accuracy",
        "peak_memory_mb",
        "train_accuracy",
        "eval_rank1",
        "eval_mAP",
    ),
    "timings": ("round", "cid", "host", "phase", "seconds"),
}


class RunFolder:
    """The files of one run; fractions have six significant digits, what is absent is an empty field."""

    def __init__(self, path: Path) -> None:
        """Make the folder and its empty tables."""
        self.path = path
        (path / "model").mkdir(parents=True, exist_ok=True)
        self.info: dict[str, Any] = {}
        for table, columns in COLUMNS.items():
            if not (path / f"{table}.csv").exists():
                self._append(table, [columns])

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Hold a lock on the file ``alive``, which goes at the end: one that nobody holds tells of a run cut off.

        An interrupt is no end: Flower interrupts a ServerApp whose SuperLink went away. Nor is a disk that is full,
        which the SuperLink tells in many ways.
        """
        path = self.path / "alive"
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            except Exception:
                if not self.disk_is_full():
                    path.unlink()
                raise
            path.unlink()

    def disk_is_full(self) -> bool:
        """Return whether next to nothing can be written any more."""
        return shutil.disk_usage(self.path).free < FULL

    def add(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append ``rows`` to ``table``, in one write that is on the disk when this returns."""
        self._append(table, [[_text(row.get(name)) for name in COLUMNS[table]] for row in rows])

    def amend(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Fill in columns of the last round's rows in ``table``, each found by its round and, where told, its cid."""
        path = self.path / f"{table}.csv"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        first = len(lines)
        while first > 1 and lines[first - 1].partition(",")[0] == str(rows[0]["round"]):
            first -= 1
        last = list(csv.DictReader(lines[first:], COLUMNS[table]))
        for row in rows:
            new = {name: _text(value) for name, value in row.items()}
            for old in last:
                if (old["round"], old.get("cid")) == (new["round"], new.get("cid")):
                    old |= new
        _replace(path, ("".join(lines[:first]) + _lines([list(row.values()) for row in last])).encode())

    def last_round(self) -> int:
        """Return the last round that is written down, or 0."""
        number = (self.path / "rounds.csv").read_text(encoding="utf-8").splitlines()[-1].partition(",")[0]
        return int(number) if number.isdecimal() else 0

    def update(self, **info: Any) -> None:
        """Set keys of app.json and write it."""
        self.info |= info
        _replace(self.path / "app.json", (json.dumps(self.info, indent=2) + "\n").encode())

    def save_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
        """Write ``model/<name>.safetensors``."""
        from safetensors.numpy import save

        # Not ascontiguousarray, which makes a scalar an array of one number.
        whole = {key: np.asarray(array, order="C") for key, array in arrays.items()}
        _replace(self.path / "model" / f"{name}.safetensors", save(whole, dict(metadata)))

    def _append(self, table: str, rows: Sequence[Sequence[str]]) -> None:
        if not rows:
            return
        with (self.path / f"{table}.csv").open("ab", buffering=0) as file:
            file.write(_lines(rows).encode())
            os.fsync(file.fileno())


def _lines(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _replace(path: Path, content: bytes) -> None:
    """Write ``content`` so that the file is the old one or the new one, also when the power fails."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
