"""What a device does with a model that arrives: train it, or evaluate it."""

import time
from dataclasses import dataclass

from flwr.app import Context, Message, MetricRecord, MetricRecordValues, RecordDict

from fl_app import device_data, frameworks, host, riding
from fl_app.datasets import entry_of
from fl_app.device_data import Split
from fl_app.learner import Learner
from fl_app.settings import Config


@dataclass(frozen=True)
class _Loaded:
    """A message's model and this device's images, ready for work."""

    config: Config
    cid: int
    round: int
    learner: Learner
    training: Split
    validation: Split


def train(message: Message, context: Context, started: float) -> RecordDict:
    """Train the message's model on the device's training split; before that, evaluate it where the message says so.

    ``started`` is the `time.perf_counter` of the message's arrival. Returns the new arrays and the metrics
    ``num-examples``, ``train_loss``, ``train_accuracy``, ``load_seconds``, ``train_seconds`` and ``peak_memory_mb``;
    those of the evaluation are in a record of their own. Raises `AppError`.
    """
    now = _load(message, context)
    evaluated = _evaluate(now) if riding.wanted(message) else {}
    evaluating = float(str(evaluated.get("evaluate_seconds", 0.0)))
    now.learner.recall(now.round)
    now.learner.get_ready()
    loaded = time.perf_counter()
    score = now.learner.train(
        now.training,
        seed=device_data.seed_of("train", now.config.seed, now.cid, now.round),
        proximal_mu=float(str(message.content.config_records["config"].get("proximal-mu", 0.0))),
    )
    new = now.learner.arrays()
    now.learner.keep(now.round)
    metrics: dict[str, MetricRecordValues] = {
        "num-examples": score.examples,
        "train_loss": score.loss,
        "train_accuracy": score.accuracy,
        "load_seconds": loaded - started - evaluating,
        "train_seconds": time.perf_counter() - loaded,
        "peak_memory_mb": host.peak_memory_mb(),
    }
    reply = RecordDict({"arrays": new, "metrics": MetricRecord(metrics)})
    if evaluated:
        reply[riding.RECORD] = riding.record(evaluated)
    return reply


def evaluate(message: Message, context: Context, started: float) -> RecordDict:
    """Evaluate the message's model on the device's validation split.

    Returns the metrics ``num-examples``, ``eval_loss``, ``eval_accuracy``, ``load_seconds``,
    ``evaluate_seconds`` and ``peak_memory_mb``; for re-identification ``eval_rank1`` and ``eval_mAP`` in the place of
    loss and accuracy, and of examples the queries, each against the other images of the split. Raises `AppError`.
    """
    now = _load(message, context)
    loaded = time.perf_counter()
    metrics: dict[str, MetricRecordValues] = {
        **_evaluate(now),
        "load_seconds": loaded - started,
        "peak_memory_mb": host.peak_memory_mb(),
    }
    return RecordDict({"metrics": MetricRecord(metrics)})


def _evaluate(now: _Loaded) -> dict[str, MetricRecordValues]:
    start = time.perf_counter()
    return {**now.learner.validate(now.validation), "evaluate_seconds": time.perf_counter() - start}


def _load(message: Message, context: Context) -> _Loaded:
    instructions = message.content.config_records["config"]
    config, part = device_data.place(context.node_config, Config.of(context.run_config))
    entry, cid = entry_of(config), device_data.cid_of(context.node_config)
    learner: Learner
    splits: tuple[Split, Split]
    if entry.reid:
        from fl_app import reid_learner  # which imports torch

        first_run = str(instructions["first-run"])
        learner, splits = reid_learner.on_device(context.node_config, config, entry, part, first_run)
    else:
        splits = device_data.load(context.node_config, config, part)
        learner = frameworks.learner(config, entry, part, whole=False)
    learner.check_frozen(str(instructions.get("frozen", "")))
    learner.take(message.content.array_records["arrays"], "the server's message")
    return _Loaded(config, cid, int(str(instructions["server-round"])), learner, *splits)
