"""What a device does with a model that arrives: train it, or evaluate it. Importing this imports torch."""

import time
from dataclasses import dataclass

import torch
from flwr.app import Context, Message, MetricRecord, MetricRecordValues, RecordDict
from torch import nn

from fl_app import arrays, device_data, host, initial, training
from fl_app.datasets import entry_of
from fl_app.device_data import Split
from fl_app.inputs import Inputs
from fl_app.settings import Config


@dataclass(frozen=True)
class _Loaded:
    """A message's model and this device's images, ready for work."""

    config: Config
    cid: int
    model: nn.Module
    inputs: Inputs
    training: Split
    validation: Split


def train(message: Message, context: Context, started: float) -> RecordDict:
    """Train the message's model on the device's training split.

    ``started`` is the `time.perf_counter` of the message's arrival. Returns the new arrays and the metrics
    ``num-examples``, ``train_loss``, ``train_accuracy``, ``load_seconds``, ``train_seconds`` and ``peak_memory_mb``.
    Raises `AppError`.
    """
    now = _load(message, context)
    instructions = message.content.config_records["config"]
    optimizer = training.ready(now.model, now.config)
    loaded = time.perf_counter()
    score = training.train(
        now.model,
        optimizer,
        now.training,
        now.inputs,
        now.config,
        seed=device_data.seed_of("train", now.config.seed, now.cid, int(str(instructions["server-round"]))),
        proximal_mu=float(str(instructions.get("proximal-mu", 0.0))),
    )
    new = arrays.from_model(now.model)
    metrics: dict[str, MetricRecordValues] = {
        "num-examples": score.examples,
        "train_loss": score.loss,
        "train_accuracy": score.accuracy,
        "load_seconds": loaded - started,
        "train_seconds": time.perf_counter() - loaded,
        "peak_memory_mb": host.peak_memory_mb(),
    }
    return RecordDict({"arrays": new, "metrics": MetricRecord(metrics)})


def evaluate(message: Message, context: Context, started: float) -> RecordDict:
    """Evaluate the message's model on the device's validation split.

    Returns the metrics ``num-examples``, ``eval_loss``, ``eval_accuracy``, ``load_seconds``,
    ``evaluate_seconds`` and ``peak_memory_mb``. Raises `AppError`.
    """
    now = _load(message, context)
    loaded = time.perf_counter()
    score = training.evaluate(now.model, now.validation, now.inputs)
    metrics: dict[str, MetricRecordValues] = {
        "num-examples": score.examples,
        "eval_loss": score.loss,
        "eval_accuracy": score.accuracy,
        "load_seconds": loaded - started,
        "evaluate_seconds": time.perf_counter() - loaded,
        "peak_memory_mb": host.peak_memory_mb(),
    }
    return RecordDict({"metrics": MetricRecord(metrics)})


def _load(message: Message, context: Context) -> _Loaded:
    torch.set_num_threads(host.threads())
    config, part = device_data.place(context.node_config, Config.of(context.run_config))
    entry = entry_of(config)
    splits = device_data.load(context.node_config, config, part)
    model = initial.build(config, entry, part, whole=False)
    initial.check_frozen(model, str(message.content.config_records["config"].get("frozen", "")))
    arrays.into_model(message.content.array_records["arrays"], model, "the server's message")
    model.to(training.best_device())
    return _Loaded(config, device_data.cid_of(context.node_config), model, Inputs.of(model, entry, config), *splits)
