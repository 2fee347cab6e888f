"""The table of models: those of Embedded Federated Vision by their timm names, and how accurate they are on ImageNet.

`models.csv` holds the names by hand (`name` of timm, `published_as` of github.com/jafermarq/federated-embedded-vision,
`head`: what its fine-tuning trains, and why one is `unavailable`). The rest is counted and looked up by `python -m
fleet.benchmark.update_models`: parameters in millions, GMACs and MB of activations of one 224x224 image, and top-1 and
top-5 of `weights` (that repository's choice, else timm's own) at `accuracy_side` pixels from timm's
results/results-imagenet.csv.
"""

from __future__ import annotations

import csv
import difflib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.settings import SettingError

TABLE = Path(__file__).with_name("models.csv")
PREFIX = "timm/"  # timm's models have this before their names in the app's setting `model`
COUNTED = ("parameters", "gmacs", "activation_mb")
SHAPE, CLASSES = (3, 224, 224), 1000  # what the table was counted for
PACKAGE = Path(__file__).resolve().parents[3] / "fl_app"
# What `models=auto` chooses from: the models of the table that was published for a Raspberry Pi 5.
PUBLISHED = 16


@dataclass(frozen=True)
class Entry:
    """A row of the table; the accuracies, in per cent, are None where timm publishes none."""

    name: str
    published_as: str
    weights: str
    head: tuple[str, ...]
    parameters: float
    gmacs: float
    activation_mb: float
    top1: float | None
    top5: float | None
    accuracy_side: int | None
    unavailable: str


def table() -> dict[str, Entry]:
    """Return the models by their timm names."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["name"]: _entry(row) for row in csv.DictReader(file)}


def _entry(row: dict[str, str]) -> Entry:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    side = number("accuracy_side")
    return Entry(
        name=row["name"],
        published_as=row["published_as"],
        weights=row["weights"],
        head=tuple(row["head"].split()),
        parameters=number("parameters") or 0.0,
        gmacs=number("gmacs") or 0.0,
        activation_mb=number("activation_mb") or 0.0,
        top1=number("top1"),
        top5=number("top5"),
        accuracy_side=None if side is None else int(side),
        unavailable=row["unavailable"],
    )


def choose(words: str) -> list[str]:
    """Return the names of timm that `words` asks for: `auto`, `all`, or names with commas between them.

    Names may have timm/ before them, or be as they were published (vit_tiny). Raises SettingError for a model that
    cannot be had.
    """
    known = table()
    if words == "auto":
        return list(known)[:PUBLISHED]
    if words == "all":
        return [name for name, entry in known.items() if not entry.unavailable]
    published = {entry.published_as: entry.name for entry in known.values()}
    chosen: list[str] = []
    for word in words.split(","):
        given = word.strip().removeprefix(PREFIX)
        name = published.get(given, given)
        if name in known and known[name].unavailable:
            raise SettingError(f"models={word.strip()} (extra var) is not allowed: {known[name].unavailable}")
        if not name:
            raise SettingError(f"models={words} (extra var) is not allowed; {ALLOWED}")
        chosen.append(name)
    return list(dict.fromkeys(chosen))


ALLOWED = "allowed: auto, all, or names of timm's models with commas between them"


def sizes(names: Iterable[str], shape: tuple[int, int, int], classes: int) -> list[dict[str, Any]]:
    """Return what `vision_benchmark.plan.Model` holds for each name: from the table, or counted now.

    Raises SettingError for a name that timm does not have, and for images that a model does not take.
    """
    known = table()
    wanted = list(names)
    in_table = (shape, classes) == (SHAPE, CLASSES)
    unknown = [name for name in wanted if name not in known or not in_table]
    counted = count(unknown, shape, classes) if unknown else {}
    found = []
    for name in wanted:
        entry = known.get(name)
        size = counted.get(name) or {key: getattr(entry, key) for key in COUNTED}
        if "unknown" in size:
            near = difflib.get_close_matches(name, [*size["unknown"], *known], n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise SettingError(f"models={name} (extra var) is no model of timm{hint}; {ALLOWED}")
        if "error" in size:
            told = ",".join(map(str, shape))
            raise SettingError(f"input_shape={told} (extra var) is not allowed for models={name}: {size['error']}")
        size = {key: size[key] for key in COUNTED}
        found.append({"name": name, **size, "head": list(entry.head) if entry else []})
    return found


def count(names: Iterable[str], shape: tuple[int, int, int], classes: int) -> dict[str, dict[str, Any]]:
    """Count models in a process of its own, which loads torch: see `vision_benchmark.size`."""
    options = ["--shape", *map(str, shape), "--classes", str(classes)]
    done = subprocess.run(
        [sys.executable, "-m", "vision_benchmark", "size", *options, "--", *names],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        raise SettingError(f"models cannot be counted on the controller: {' '.join(last)}")
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found
