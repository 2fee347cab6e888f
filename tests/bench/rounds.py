"""`python tests/bench/rounds.py`: seconds a round that Flower itself takes, stock and with each step of fast_rounds.

The app computes nothing, so that all the time is Flower's. The variants take turns of a few rounds, so that what else
the machine does falls on all of them; in its turn each has the machine to itself. The figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from itertools import pairwise, product
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


Seen = dict[tuple[str, int], dict[bool, list[float]]]


def measure(nodes: int, rounds: int, variants: list[str], arrays: list[int], folder: Path) -> Seen:
    """Return the seconds of each round, of training with and without evaluation, by variant and number of arrays."""
    seconds: Seen = {(name, count): {False: [], True: []} for name in variants for count in arrays}
    turns = -(-rounds // 5)
    for turn, (number, name) in product(range(turns), enumerate(variants)):
        print(f"{nodes} SuperNodes, turn {turn + 1} of {turns}: {name}", file=sys.stderr, flush=True)
        with Fleet(folder / f"{number}-{turn}", nodes, **VARIANTS[name]) as fleet:
            for count, evaluate in product(arrays, (False, True)):
                ends = fleet.run(limit=1800, rounds=min(rounds, 5) + 1, evaluate=evaluate, arrays=count)["ends"]
                # The first interval is the run's start; each later one is a whole round.
                seconds[name, count][evaluate] += [b - a for a, b in pairwise(ends[1:])]
    return seconds


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--arrays", type=int, nargs="+", default=[1], help="how many arrays the model has")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    args = parser.parse_args()
    as_interrupted()
    print("| SuperNodes | variant | arrays | s/round, train | train + evaluate | of stock |\n|---|---|---|---|---|---|")
    for nodes in args.nodes:
        with tempfile.TemporaryDirectory(prefix="bench") as folder:
            seconds = measure(nodes, args.rounds, args.variants, args.arrays, Path(folder))
        for (name, count), seen in seconds.items():
            train, whole = (statistics.median(seen[evaluate]) for evaluate in (False, True))
            stock = seconds.get(("stock", count), {}).get(True)
            share = f"1/{statistics.median(stock) / whole:.1f}" if stock else ""
            print(f"| {nodes} | {name} | {count} | {train:.2f} | {whole:.2f} | {share} |", flush=True)


if __name__ == "__main__":
    main()
