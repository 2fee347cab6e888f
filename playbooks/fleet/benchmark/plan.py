"""What a benchmark measures, decided on the controller before any device is touched, and the folder that it fills.

`python -m fleet.benchmark.plan` reads one JSON object on stdin (`own`: the checked settings, `hosts`: those that a
host may have of its own, `devices`, `results`: the folder of all results, `write`: false makes no folder) and prints
another: `folder`, `plan` (see `vision_benchmark.plan`), `left` (the models of each device that have no row yet) and
`goes_on` (rows that are there already, from a benchmark of the same settings that was cut off). A user's mistake is
one line on stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleet.benchmark import models
from fleet.settings import SettingError, Value

RECORD = "benchmark.json"
ROWS = "rows"  # a file for each device, with its rows as they come
SUFFIX = "-benchmark"
LATEST = "latest-benchmark"
POWER = ("power_mode", "jetson_clocks", "governor")  # beside the plan, what figures depend on


def make(own: Mapping[str, Value]) -> dict[str, Any]:
    """Return the plan for the checked settings. Raises SettingError where they do not go together."""
    shape = tuple(int(part) for part in str(own["input_shape"]).split(","))
    classes, images = int(own["num_classes"]), int(own["num_images"])
    batch = str(own["batch_size"])
    if own["dataset"] == "in_fs" and images < classes:
        raise SettingError(
            f"num_images={images} is not allowed with dataset=in_fs and num_classes={classes}; "
            "allowed: an image for each class at least"
        )
    if batch != "auto" and int(batch) > images:
        raise SettingError(f"batch_size={batch} is not allowed; allowed: up to {images}, the num_images")
    chosen = models.choose(str(own["models"]))
    return {
        "models": models.sizes(chosen, (shape[0], shape[1], shape[2]), classes),
        # In the order of the table of settings, whatever the user's.
        "tasks": [task for task in ("train", "finetune", "evaluate") if task in str(own["measure"]).split(",")],
        "steps": int(own["steps"]),
        "batch_size": 0 if batch == "auto" else int(batch),
        "dataset": own["dataset"],
        "input_shape": list(shape),
        "num_classes": classes,
        "num_images": images,
        "memory_format": own["memory_format"],
        "threads": own["threads"],
        "choose": own["models"] == "auto",
    }


def cut_off(results: Path, plan: Mapping[str, Any], power: Mapping[str, Any]) -> Path | None:
    """Return the folder of the newest benchmark, where it has this plan and did not come to its end."""
    folders = sorted(path for path in results.glob(f"*{SUFFIX}") if path.name != LATEST)
    if not folders:
        return None
    try:
        record = json.loads((folders[-1] / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = record.get("plan") == plan and record.get("power") == power
    return folders[-1] if same and record.get("status") != "finished" else None


def read_rows(folder: Path, host: str) -> list[dict[str, Any]]:
    """Return what a device has measured so far; a line that is not whole is none."""
    try:
        lines = (folder / ROWS / f"{host}.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    rows = {}
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows[row["model"]] = row
    return list(rows.values())


def left(folder: Path, plan: Mapping[str, Any], host: str) -> list[str]:
    """Return the models of the plan that a device has no row of yet; none where it said that it is done."""
    if (folder / ROWS / f"{host}.done").exists():
        return []
    done = {row["model"] for row in read_rows(folder, host)}
    return [model["name"] for model in plan["models"] if model["name"] not in done]


def begin(
    own: Mapping[str, Value], hosts: Mapping[str, Any], devices: Iterable[str], results: Path, write: bool = True
) -> dict[str, Any]:
    """Make the plan and its folder, or find the folder of one that was cut off."""
    plan = make(own)
    names = list(devices)
    power = {host: {key: settings.get(key) for key in POWER} for host, settings in hosts.items() if host in names}
    folder = None if own["fresh"] else cut_off(results, plan, power)
    goes_on = sum(len(read_rows(folder, host)) for host in names) if folder else 0
    now = datetime.now(UTC)
    if folder is None:
        folder = results / f"{now:%Y-%m-%dT%H-%M-%SZ}{SUFFIX}"
        if write:
            (folder / ROWS).mkdir(parents=True)
            write_record(folder, {"status": "running", "started": now.isoformat(), "plan": plan, "power": power})
    if write:
        link = results / LATEST
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
    return {
        "folder": str(folder),
        "plan": plan,
        "left": {host: left(folder, plan, host) for host in names},
        "goes_on": goes_on,
    }


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the benchmark's record, whole or not at all."""
    beside = folder / f"{RECORD}.new"
    beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    beside.replace(folder / RECORD)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    try:
        made = begin(given["own"], given["hosts"], given["devices"], Path(given["results"]), given["write"])
        print(json.dumps(made))
    except SettingError as error:
        sys.exit(str(error))
