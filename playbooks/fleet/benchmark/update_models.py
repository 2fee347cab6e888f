"""Count the models of the table anew, and take their accuracies from timm's results.

    python -m fleet.benchmark.update_models results-imagenet.csv

The file is results/results-imagenet.csv of github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from fleet.benchmark import models


def accuracy(results: list[dict[str, str]], weights: str) -> dict[str, str]:
    """Return what timm publishes of some weights; of several sizes of image, at that nearest to what is measured."""
    mine = [row for row in results if row["model"] == weights]
    if not mine:
        return dict.fromkeys(("top1", "top5", "accuracy_side"), "")
    best = min(mine, key=lambda row: abs(int(row["img_size"]) - models.SHAPE[1]))
    return {
        "top1": f"{float(best['top1']):.2f}",
        "top5": f"{float(best['top5']):.2f}",
        "accuracy_side": best["img_size"],
    }


def update(results_file: Path) -> None:
    """Write the table anew."""
    with results_file.open(encoding="utf-8", newline="") as file:
        results = list(csv.DictReader(file))
    with models.TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    there = [row["name"] for row in rows if not row["unavailable"]]
    counted = models.count(there, models.SHAPE, models.CLASSES)
    for row in rows:
        if row["unavailable"]:
            continue
        row.update({key: str(counted[row["name"]][key]) for key in models.COUNTED})
        row["weights"] = row["weights"] or counted[row["name"]]["weights"]
        row.update(accuracy(results, row["weights"]))
    with models.TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    update(Path(sys.argv[1]))
