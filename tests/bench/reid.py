"""`python tests/bench/reid.py`: what FedPAV learns on devices with cameras of their own, beside the starting weights.

The real ServerApp and ClientApp run in this process, as in tests/bench/algorithms.py. Each algorithm runs once for each
seed, which decides who has which cameras, the initial model and the order of the images. With VeRi-776:

    python tests/bench/reid.py --dataset veri776 --data-folder DIR --model resnet50 --weights imagenet --rounds 30 \
        --epochs 1 --lr 0.01
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
from bench.algorithms import curve_of, spread, train

ALGORITHMS = ("FedPAV", "FedPAV-NTD")
SCORES = {"rank1": "rank 1", "rank5": "rank 5", "rank10": "rank 10", "mAP": "mAP"}


def main() -> None:
    """Train and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mnist5k_reid")
    parser.add_argument("--data-folder", default="", help="with the original files, for veri776")
    parser.add_argument("--model", default="reid/mnist_cnn")
    parser.add_argument("--weights", default="")
    parser.add_argument("--image-size", type=int, default=0)
    parser.add_argument("--devices", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.03)
    parser.add_argument("--random-erasing", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    os.environ.setdefault("FL_THREADS", "1")
    plain = {key: value for key, value in vars(args).items() if key not in ("devices", "seeds")}
    common = {**plain, "partitioner": "camera", "fraction_evaluate": 0.0}
    starts: dict[str, list[float]] = {score: [] for score in SCORES}
    ends: dict[str, dict[str, list[float]]] = {name: {score: [] for score in SCORES} for name in ALGORITHMS}
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        for seed in args.seeds:
            for name in ALGORITHMS:
                start = time.perf_counter()
                run = train(Path(folder), {**common, "algorithm": name, "seed": seed}, args.devices)
                beginning = json.loads((run / "app.json").read_text())["beginning"]
                for score in SCORES:
                    ends[name][score].append(curve_of(run, score)[-1])
                    if name == ALGORITHMS[0]:  # the same for all of a seed
                        starts[score].append(100 * beginning[score])
                curve = " ".join(f"{rank:.1f}" for rank in [100 * beginning["rank1"], *curve_of(run, "rank1")])
                print(f"seed {seed}  {name:10} {curve}  {time.perf_counter() - start:.0f} s", file=sys.stderr)
    print(" ".join(f"{key}={value}" for key, value in vars(args).items() if key != "data_folder"))
    print(f"\n| | {', '.join(SCORES.values())}".replace(", ", ", % | ") + ", % | rank 1 of the seeds |")
    print("|" + "---|" * (len(SCORES) + 2))
    for name, scores in {"starting weights": starts, **ends}.items():
        cells = " | ".join(spread(values) for values in scores.values())
        print(f"| {name} | {cells} | {' / '.join(f'{rank:.1f}' for rank in scores['rank1'])} |")


if __name__ == "__main__":
    main()
