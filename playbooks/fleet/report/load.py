"""Reading and checking a run's folder.

What an app need not write (``rounds.csv``, ``devices.csv``, ``timings.csv``) may be missing, and so
may optional columns, keys and cells; what is there has to be sound.
"""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from .records import Info, Record, Reply, Round, Run, Timing

R = TypeVar("R", bound=Record)


class ResultsError(ValueError):
    """A run's folder that cannot be read; the message is one line that names the file and the value."""


def load_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        ResultsError: the folder or its ``run.json`` is missing, or one of its files is damaged.
    """
    info = load_info(folder)
    return Run.model_construct(  # its parts are checked already
        folder=folder,
        info=info,
        rounds=load_rounds(folder),
        replies=tuple(sorted(_table(folder / "devices.csv", Reply), key=lambda row: (row.round, row.cid))),
        timings=tuple(sorted(_table(folder / "timings.csv", Timing), key=lambda row: (row.round, row.cid))),
    )


def load_info(folder: Path) -> Info:
    """Read ``run.json``. Raises ResultsError."""
    if not folder.is_dir():
        raise ResultsError(f"{folder}: not a folder of a run's results")
    return _json(folder / "run.json", Info)


def load_rounds(folder: Path) -> tuple[Round, ...]:
    """Read ``rounds.csv`` in order of rounds; empty where there is none. Raises ResultsError."""
    path = folder / "rounds.csv"
    rounds = sorted(_table(path, Round), key=lambda row: row.round)
    for before, after in pairwise(rounds):
        if before.round == after.round:
            raise ResultsError(f"{path}: round {after.round} is there twice")
    return tuple(rounds)


def _json(path: Path, cls: type[R]) -> R:
    try:
        return cls.model_validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise ResultsError(f"{path}: {_first(error)}") from None


def _table(path: Path, cls: type[R]) -> list[R]:
    """Read a CSV file with a header into records; no rows where the file is missing or empty."""
    rows = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            for cells in reader:
                if len(cells) != len(header):
                    raise ResultsError(f"{path}: line {reader.line_num} has {len(cells)} cells; expected {len(header)}")
                named = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
                rows.append(cls.model_validate_strings(named))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise ResultsError(f"{path}: line {reader.line_num}: {_first(error)}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: not CSV ({error})") from None
    return rows


def _first(error: ValidationError) -> str:
    """Say the first thing that is wrong, in one line."""
    detail = error.errors()[0]
    place = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in ("missing", "json_invalid", "value_error"):
        return f"{place}: {message}" if place else message
    given = repr(detail["input"])
    return f"{place} is {given if len(given) <= 60 else given[:57] + '...'}: {message}"
