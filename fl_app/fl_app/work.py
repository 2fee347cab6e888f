"""What a device does with a model that arrives: train it, or evaluate it. Importing this imports torch."""

import time
from dataclasses import dataclass, replace

import torch
from flwr.app import Context, Message, MetricRecord, MetricRecordValues, RecordDict
from torch import nn

from fl_app import arrays, device_data, host, initial, ranking, sightings, training
from fl_app.datasets import entry_of
from fl_app.device_data import Split
from fl_app.inputs import Inputs
from fl_app.kept import Kept, kept_in
from fl_app.reid import ReId
from fl_app.settings import Config
from fl_app.sightings import Sightings


@dataclass(frozen=True)
class _Loaded:
    """A message's model and this device's images, ready for work."""

    config: Config
    cid: int
    model: nn.Module
    inputs: Inputs
    training: Split
    validation: Split
    round: int
    kept: Kept | None


def train(message: Message, context: Context, started: float) -> RecordDict:
    """Train the message's model on the device's training split.

    ``started`` is the `time.perf_counter` of the message's arrival. Returns the new arrays and the metrics
    ``num-examples``, ``train_loss``, ``train_accuracy``, ``load_seconds``, ``train_seconds`` and ``peak_memory_mb``.
    Raises `AppError`.
    """
    now = _load(message, context, whole=True)
    instructions = message.content.config_records["config"]
    optimizer = training.ready(now.model, now.config)
    loaded = time.perf_counter()
    score = training.train(
        now.model,
        optimizer,
        now.training,
        now.inputs,
        now.config,
        seed=device_data.seed_of("train", now.config.seed, now.cid, now.round),
        proximal_mu=float(str(instructions.get("proximal-mu", 0.0))),
    )
    new = arrays.from_model(now.model)
    if now.kept:
        now.kept.keep(now.model, now.round)
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
    ``evaluate_seconds`` and ``peak_memory_mb``; for re-identification ``eval_rank1`` and ``eval_mAP`` in the place of
    loss and accuracy, and of examples the queries, each against the other images of the split. Raises `AppError`.
    """
    now = _load(message, context, whole=False)
    loaded = time.perf_counter()
    metrics: dict[str, MetricRecordValues] = {
        **_scores(now),
        "load_seconds": loaded - started,
        "evaluate_seconds": time.perf_counter() - loaded,
        "peak_memory_mb": host.peak_memory_mb(),
    }
    return RecordDict({"metrics": MetricRecord(metrics)})


def _scores(now: _Loaded) -> dict[str, MetricRecordValues]:
    if isinstance(now.model, ReId):
        assert isinstance(now.validation, Sightings)
        gallery = ranking.describe(now.model, now.validation, now.inputs)
        found = ranking.rank(gallery, gallery)
        return {"num-examples": found.queries, "eval_rank1": found.rank1, "eval_mAP": found.mAP}
    score = training.evaluate(now.model, now.validation, now.inputs)
    return {"num-examples": score.examples, "eval_loss": score.loss, "eval_accuracy": score.accuracy}


def _load(message: Message, context: Context, *, whole: bool) -> _Loaded:
    """Load the data and the model; ``whole``: with the part of it that stays on this device, where there is one."""
    torch.set_num_threads(host.threads())
    instructions = message.content.config_records["config"]
    number = int(str(instructions["server-round"]))
    config, part = device_data.place(context.node_config, Config.of(context.run_config))
    entry, cid = entry_of(config), device_data.cid_of(context.node_config)
    train: Split
    validation: Split
    kept, classes = None, None
    if entry.reid:
        train, validation = sightings.load(context.node_config, config, part)
        identities, labels = torch.unique(train.labels, return_inverse=True)
        train = replace(train, labels=labels)  # as this device numbers them
        classes = len(identities)
        kept = Kept(kept_in(context.node_config), str(instructions["first-run"]), cid, identities)
    else:
        train, validation = device_data.load(context.node_config, config, part)
    model = initial.build(config, entry, part, whole=False, classes=classes)
    initial.check_frozen(model, str(instructions.get("frozen", "")))
    arrays.into_model(message.content.array_records["arrays"], model, "the server's message")
    if kept and whole:
        kept.give(model, number)
    model.to(training.best_device())
    inputs = Inputs.of(model, entry, config)
    return _Loaded(config, cid, model, inputs, train, validation, number, kept)
