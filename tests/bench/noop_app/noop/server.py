"""Rounds of nothing; the times at which they ended and what the devices said, as JSON."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


class Noted(FedAvg):
    """FedAvg that notes each reply."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.replies: list[dict[str, Any]] = []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Note what came back."""
        replies = list(replies)
        for reply in replies:
            said = dict(reply.content["metrics"]) if reply.has_content() else {"error": reply.error.reason}
            self.replies.append({"round": server_round, **said})
        return super().aggregate_train(server_round, replies)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds and write what was seen to $FL_RUNS_DIR/<run id>.json."""
    config = context.run_config
    nodes = int(config["nodes"])
    ends = []

    def note(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        ends.append(time.time())
        return MetricRecord()

    strategy = Noted(
        fraction_evaluate=1.0 if config["evaluate"] else 0.0,
        min_train_nodes=nodes,
        min_evaluate_nodes=nodes if config["evaluate"] else 0,
        min_available_nodes=nodes,
    )
    result = strategy.start(
        grid,
        _model(int(config["parameters"]), int(config["arrays"])),
        num_rounds=int(config["rounds"]),
        evaluate_fn=note,
    )
    weights = result.arrays["weights"].numpy()
    path = Path(os.environ["FL_RUNS_DIR"]) / f"{context.run_id}.json"
    seen = {
        "ends": ends,
        "replies": strategy.replies,
        "weights": weights.tobytes().hex(),
        "grid": type(grid).__name__,
    }
    path.with_suffix(".part").write_text(json.dumps(seen))
    path.with_suffix(".part").rename(path)


def _model(parameters: int, arrays: int) -> ArrayRecord:
    names = ["weights", *(f"weights{number}" for number in range(1, arrays))]
    # Flower sends what is alike once.
    return ArrayRecord({name: Array(np.full(parameters // arrays, n, np.float32)) for n, name in enumerate(names)})
