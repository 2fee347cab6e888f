"""`python tests/bench/algorithms.py`: what FedAvg, FedNTD and FedProx reach on devices whose classes differ.

The real ServerApp and ClientApp run in this process, on the grid of the app's own tests: no network, one device after
the other. Each algorithm runs once for each seed, which decides the split, the initial model and the order of the
images; so each sees the same ones.

    python tests/bench/algorithms.py --dataset cifar10 --data-folder DIR --images 0 --model resnet18 --devices 4 \
        --partitioner class_share --rounds 3 --epochs 1
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[2] / "fl_app")
from fl_app import datasets  # noqa: E402
from fl_app.prepare import prepare  # noqa: E402
from fl_app.settings import Config  # noqa: E402
from fl_app.sources import Raw, Source  # noqa: E402
from tests.app_fleet import Fleet, config_of, serve  # noqa: E402

ALGORITHMS: dict[str, dict[str, Any]] = {
    "FedAvg": {"strategy": "FedAvg"},
    "FedNTD": {"strategy": "FedAvg", "algorithm": "FedNTD"},
    "FedProx": {"strategy": "FedProx"},
}
LAST = 3  # rounds: with devices that differ, accuracy jumps from one to the next


def shorten(name: str, images: int) -> None:
    """Leave the data set ``name`` its first ``images`` training images."""
    entry = datasets.DATASETS[name]

    def find(folder: Path, side: int) -> Source | None:
        source = entry.find(folder, side)
        return None if source is None else replace(source, load=lambda: first(source.load()))

    def first(raw: Raw) -> Raw:
        return replace(raw, train_images=raw.train_images[:images], train_labels=raw.train_labels[:images])

    datasets.DATASETS[name] = replace(entry, find=find)


def train(folder: Path, settings: dict[str, Any], devices: int) -> Path:
    """Train and return the run's folder; data and runs lie in ``folder``."""
    made = prepare(Config.of(config_of(**settings)), range(devices), [], folder / "parts")
    runs = folder / "runs"
    for place in ["server", *range(devices)]:
        (folder / "data" / str(place)).mkdir(parents=True, exist_ok=True)
        link = folder / "data" / str(place) / made["key"]
        if not link.exists():
            link.symlink_to(Path(made["folder"]) / str(place))
    os.environ |= {"FL_DATA_DIR": str(folder / "data" / "server"), "FL_RUNS_DIR": str(runs)}
    nodes = [{"partition-id": cid, "data-dir": str(folder / "data" / str(cid))} for cid in range(devices)]
    number = len(list(runs.iterdir())) + 1 if runs.exists() else 1
    serve(Fleet(config_of(**settings, partition=made["key"]), nodes), number)
    return runs / str(number)


def curve_of(run: Path, column: str) -> list[float]:
    """Return a column of the run's rounds.csv in percent."""
    with (run / "rounds.csv").open(newline="") as file:
        return [100 * float(row[column]) for row in csv.DictReader(file)]


def spread(values: list[float]) -> str:
    """Return mean and standard deviation in words."""
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values) if len(values) > 1 else 0:.1f}"


def main() -> None:
    """Train and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument(
        "--data-folder", default="", help="with the original files, where they are not in a usual place"
    )
    parser.add_argument("--images", type=int, default=12_000, help="the first so many training images; 0: all")
    parser.add_argument("--model", default="net")
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--partitioner", default="shard")
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--classes-per-device", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    os.environ.setdefault("FL_THREADS", "1")
    if args.images:
        shorten(args.dataset, args.images)
    plain = {key: value for key, value in vars(args).items() if key not in ("images", "devices", "seeds")}
    common = {**plain, "fraction_evaluate": 0.0}
    found: dict[str, list[list[float]]] = {name: [] for name in ALGORITHMS}
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        for seed in args.seeds:
            for name, own in ALGORITHMS.items():
                start = time.perf_counter()
                run = train(Path(folder), {**common, **own, "seed": seed}, args.devices)
                curve = curve_of(run, "accuracy")
                found[name].append(curve)
                took = time.perf_counter() - start
                print(f"seed {seed}  {name:8}", " ".join(f"{a:.1f}" for a in curve), f" {took:.0f} s", file=sys.stderr)
    print(" ".join(f"{key}={value}" for key, value in vars(args).items() if key != "data_folder"))
    print(f"\n| algorithm | last round, % | mean of the last {LAST} rounds, % |", "seeds |\n|---|---|---|---|")
    for name, curves in found.items():
        ends = spread([curve[-1] for curve in curves])
        means = spread([statistics.mean(curve[-LAST:]) for curve in curves])
        print(f"| {name} | {ends} | {means} | {' / '.join(f'{curve[-1]:.1f}' for curve in curves)} |")


if __name__ == "__main__":
    main()
