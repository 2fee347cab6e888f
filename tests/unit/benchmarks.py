"""Benchmarks as devices leave them, for the tests of what is made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet.benchmark import SETTINGS, collect, models
from fleet.benchmark.plan import ROWS, begin

NAMES = ("resnet18", "mobilenetv3_small_100", "vit_tiny_patch16_224", "efficientvit_b0")


def row(name: str, milliseconds: float, batch: int = 16, **more: object) -> dict[str, Any]:
    """What a device says of a model."""
    times = {"train": milliseconds, "finetune": milliseconds / 3, "evaluate": milliseconds / 4}
    found: dict[str, Any] = {
        "model": name,
        "status": "ok",
        "batch_size": batch,
        "device": "cpu",
        "threads": 4,
        "torch": "2.10.0",
        "memory_format": "channels_last",
        "contiguous_ms": milliseconds * 1.5,
        "channels_last_ms": milliseconds,
        "peak_memory_mb": 812.4,
        "temperature_max": 61.5,
        "throttled": "0x0",
        "power_w_mean": None,
        "energy_j_per_image": None,
    }
    for task, time in times.items():
        found |= {f"t_{task}": time * 20 / 1000, f"{task}_batches": 20, f"{task}_ms": time, f"{task}_ms_spread": 3.0}
    return {**found, **more}


def made(results: Path, hosts: Mapping[str, list[dict[str, Any]]], lost: tuple[str, ...] = (), **own: Any) -> Path:
    """Write the folder of a benchmark whose devices left these rows."""
    settings = {setting.name: setting.default for setting in SETTINGS} | {"models": ",".join(NAMES), "fresh": True}
    folder = Path(begin({**settings, **own}, {}, list(hosts), results)["folder"])
    for host, rows in hosts.items():
        (folder / ROWS / f"{host}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    boards = {
        host: {"host": host, "board": f"Board of {host}", "architecture": "aarch64", "cores": 4, "memory_mb": 3900}
        for host in hosts
    }
    collect.finish(folder, boards, list(lost))
    return folder


def skipped(name: str) -> dict[str, Any]:
    """What a device says of a model that is too large for it."""
    return {"model": name, "status": "skipped", "reason": "takes about 6000 MB; 900 MB are free", "batch_size": 16}


def table_row(name: str) -> models.Entry:
    """The model's row of the table."""
    return models.table()[name]
