"""`python tests/bench/rounds.py`: seconds a round that Flower itself takes, stock and with each step of fast_rounds.

The app computes nothing, so that all the time is Flower's. All variants run side by side, a few rounds each in turn, so
that what else the machine does falls on all of them; the figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: its fleet.py is not the package fleet
from bench.fleet import Fleet  # noqa: E402
from bench.terminated import as_interrupted  # noqa: E402

VARIANTS: dict[str, dict[str, Any]] = {
    "stock": {"server": "stock", "devices": "stock"},
    "Grid asks sooner": {"devices": "stock"},
    "and SuperNodes, with the nudge": {"warm": "cold"},
    "and forked from a warm process": {},
    "the same with TLS and SuperNode keys": {"secure": True},
    "the same with executors apart": {"isolated": True, "environment": {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.01"}},
    "and apps apart, as with a user of their own": {
        "apart": True,
        "environment": {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.05"},
    },
    "and all of that, with nginx before the SuperLink": {
        "apart": True,
        "proxied": True,
        "environment": {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.05"},
    },
}


def measure(nodes: int, rounds: int, variants: list[str], folder: Path) -> dict[str, dict[bool, list[float]]]:
    """Return the seconds of each round, of training with and without evaluation, by variant."""
    seconds: dict[str, dict[bool, list[float]]] = {name: {False: [], True: []} for name in variants}
    with ExitStack() as stack:
        fleets = {
            name: stack.enter_context(Fleet(folder / f"{number}", nodes, **VARIANTS[name]))
            for number, name in enumerate(variants)
        }
        for _ in range(-(-rounds // 5)):
            for name, fleet in fleets.items():
                for evaluate in (False, True):
                    # The first interval is the run's start; each later one is a whole round.
                    ends = fleet.run(rounds=min(rounds, 5) + 1, evaluate=evaluate, limit=1800)["ends"]
                    seconds[name][evaluate] += [b - a for a, b in pairwise(ends[1:])]
    return seconds


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    args = parser.parse_args()
    as_interrupted()
    print("| SuperNodes | variant | s/round, train | train + evaluate | of stock |\n|---|---|---|---|---|")
    for nodes in args.nodes:
        with tempfile.TemporaryDirectory(prefix="bench") as folder:
            seconds = measure(nodes, args.rounds, args.variants, Path(folder))
        whole = {name: statistics.median(seen[True]) for name, seen in seconds.items()}
        for name, seen in seconds.items():
            share = f"1/{whole['stock'] / whole[name]:.1f}" if "stock" in whole else ""
            train = statistics.median(seen[False])
            print(f"| {nodes} | {name} | {train:.2f} | {whole[name]:.2f} | {share} |", flush=True)


if __name__ == "__main__":
    main()
