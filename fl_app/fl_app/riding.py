"""Evaluation that rides with training: devices score the model that arrives before they train on it.

So a round has one phase, and its model goes to each device once. It is the model that the round before it ended with,
and what devices say of it belongs there; the last round's model is evaluated in messages of its own.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flwr.app import ConfigRecord, Message, MetricRecordValues, RecordDict

from fl_app.settings import Config

WANTED = "evaluate"  # in a training message's instructions
RECORD = "evaluation"  # in its reply; not a MetricRecord, of which a strategy takes one, with the same keys from all


@dataclass(frozen=True)
class Evaluation:
    """The ``fraction`` of the online devices, and of ``min_devices`` at least, that evaluate, and if it ``rides``."""

    fraction: float
    min_devices: int
    rides: bool

    @classmethod
    def of(cls, config: Config) -> "Evaluation":
        """Return what ``config`` asks for; more devices than those that train take messages of their own."""
        rides = config.evaluation == "with_training" and 0 < config.fraction_evaluate <= config.fraction_train
        return cls(config.fraction_evaluate, config.min_devices, rides)

    def devices(self, online: int) -> int:
        """Return how many devices evaluate where so many are online, as Flower's strategies count them."""
        return max(int(self.fraction * online), int(self.fraction * self.min_devices), 1)


def ask(messages: Sequence[Message], devices: int) -> list[Message]:
    """Return the training ``messages``, of which as many as ``devices``, chosen at random, ask for evaluation too."""
    every = range(len(messages))
    chosen = every if devices >= len(messages) else random.sample(every, devices)
    for number, message in enumerate(messages):
        if number in chosen:  # the strategy's messages share their records
            config = ConfigRecord({**message.content.config_records["config"], WANTED: True})
            message.content = RecordDict({**message.content, "config": config})
    return list(messages)


def wanted(message: Message) -> bool:
    """Return whether a training message asks for evaluation too."""
    return bool(message.content.config_records["config"].get(WANTED))


def record(metrics: Mapping[str, MetricRecordValues]) -> ConfigRecord:
    """Return what a reply to training says of the evaluation."""
    return ConfigRecord({name: float(value) for name, value in metrics.items() if isinstance(value, int | float)})


def scores(reply: Message) -> dict[str, float]:
    """Return what a reply to training says of the evaluation: nothing, where it was not asked for it."""
    said = reply.content.config_records.get(RECORD, ConfigRecord())
    return {name: value for name, value in said.items() if isinstance(value, float)}
