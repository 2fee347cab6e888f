"""About how long a round takes on this fleet, from a benchmark that was made.

`python -m fleet.benchmark.estimate` reads one JSON object on stdin (`results`, `settings`, `cids` of the devices,
`labels`: each cid's images of each class, and `side`) and prints the lines to show, as a JSON list; none where no
benchmark knows the model.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.benchmark import models
from fleet.benchmark.plan import LATEST, SUFFIX
from fleet.benchmark.results import FILE, BenchmarkError, Row, load
from fleet.report import text

TINY = 24 * 24  # below this, time no longer goes with the pixels


@dataclass(frozen=True)
class Estimate:
    """Seconds of training and evaluation in a round on a device, and the benchmark's row behind it."""

    host: str
    seconds: float
    row: Row
    scaled: bool  # for images of another size


def newest(results: Path, host: str, model: str) -> Row | None:
    """Return a device's newest row of a model."""
    for folder in sorted(results.glob(f"*{SUFFIX}"), reverse=True):
        if folder.name == LATEST or not (folder / FILE).is_file():
            continue
        try:
            rows = load(str(folder))
        except (BenchmarkError, OSError, csv.Error):
            continue
        for row in rows:
            if (row.host, row.model) == (host, model) and row.ms_per_image("train"):
                return row
    return None


def of_device(results: Path, host: str, settings: Mapping[str, Any], images: int, side: int) -> Estimate | None:
    """Return what a round takes on a device: its epochs of training, then evaluation of what it keeps for that.

    Args:
        results: the folder of all results.
        host: the device.
        settings: the run's.
        images: the images that the device has.
        side: the height and width of an image as the model gets it; 0 where it is not known.
    """
    model = str(settings["model"])
    # The app's own models have names that timm's have, too, and are others.
    row = newest(results, host, model.removeprefix(models.PREFIX)) if model.startswith(models.PREFIX) else None
    if row is None:
        return None
    measured = [int(part) for part in row.values.get("input_shape", "").strip("[]").split(",") if part.strip()]
    factor = max(side * side, TINY) / (measured[1] * measured[2]) if side and len(measured) == 3 else 1.0
    kept = round(images * float(settings.get("validation_fraction", 0)))
    train = row.ms_per_image("train") or 0.0
    evaluate = row.ms_per_image("evaluate") or train / 3
    shared = float(settings.get("fraction_evaluate", 0)) > 0
    milliseconds = (images - kept) * int(settings["epochs"]) * train + (kept * evaluate if shared else 0)
    return Estimate(host, factor * milliseconds / 1000, row, factor != 1.0)


def lines(found: list[Estimate], devices: int) -> list[str]:
    """Return the estimate in words: a round ends with its slowest device."""
    if not found:
        return []
    slowest = max(found, key=lambda one: one.seconds)
    said = f"a round of training takes about {text.seconds(slowest.seconds)} on {slowest.host}, the slowest"
    if len(found) < devices:
        said += f" of the {len(found)} of {devices} devices that were benchmarked"
    rest = sorted((one for one in found if one is not slowest), key=lambda one: -one.seconds)
    if rest:
        said += f" ({', '.join(f'{one.host} {text.seconds(one.seconds)}' for one in rest[:4])}"
        said += f", and {len(rest) - 4} faster ones)" if len(rest) > 4 else ")"
    how = "by a benchmark of this fleet"
    if any(one.scaled for one in found):
        how += " with images of another size"
    return [f"{said}, {how}".replace("\u00a0", " ")]


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    estimates = [
        one
        for host, cid in asked["cids"].items()
        if str(cid) in asked["labels"]  # not of a device with images of its own
        and (
            one := of_device(
                Path(asked["results"]), host, asked["settings"], sum(asked["labels"][str(cid)]), asked["side"]
            )
        )
    ]
    print(json.dumps(lines(estimates, len(asked["cids"]))))
