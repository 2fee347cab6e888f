"""A registered device that sends garbage: what FedAvg makes of it, and the strategies that stand it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message

from fl_app.one_array import pack, unpack

from .app_fleet import Fleet, config_of, read_csv, serve

DEVICES = 5
LIAR = 102


class FleetWithALiar(Fleet):
    """One of the devices answers with arrays of the right shape that no training made."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        replies = list(super().send_and_receive(messages, timeout=timeout))
        for reply in replies:
            records = reply.content.array_records
            if reply.metadata.src_node_id == LIAR and records:
                random = np.random.default_rng(0)
                for name, record in list(records.items()):
                    garbage = {
                        key: Array((100 * random.standard_normal(array.shape)).astype(array.dtype))
                        for key, array in unpack(record).items()
                    }
                    records[name] = pack(ArrayRecord(garbage))
        return replies


@pytest.fixture
def accuracy(home: Path) -> Callable[..., float]:
    """Return a function that trains two rounds with the liar and returns the model's accuracy."""

    def train(**settings: Any) -> float:
        nodes = [{"partition-id": cid, "num-partitions": DEVICES, "host": f"pi-{cid}"} for cid in range(DEVICES)]
        config = config_of(rounds=2, epochs=1, model="mnist_cnn", fraction_evaluate=0.0, **settings)
        serve(FleetWithALiar(config, nodes), 1)
        return float(read_csv(home / "runs" / "1" / "rounds.csv")[-1]["accuracy"])

    return train


def test_fedavg_averages_garbage_in(accuracy: Callable[..., float]) -> None:
    assert accuracy(strategy="FedAvg") < 0.4


@pytest.mark.parametrize(
    ("strategy", "config"),
    [
        ("Krum", "num_malicious_nodes=1"),
        ("MultiKrum", "num_malicious_nodes=1 num_nodes_to_select=3"),
        ("FedMedian", ""),
        ("FedTrimmedAvg", "beta=0.2"),
    ],
)
def test_robust_strategies_stand_it(accuracy: Callable[..., float], strategy: str, config: str) -> None:
    assert accuracy(strategy=strategy, strategy_config=config) > 0.6
