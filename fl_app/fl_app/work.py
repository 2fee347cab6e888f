"""What a device does with a model that arrives: train it, or evaluate it."""

import time
from dataclasses import dataclass

from flwr.app import Context, Message, MetricRecord, MetricRecordValues, RecordDict

from fl_app import device_data, frameworks, host
from fl_app.datasets import entry_of
from fl_app.device_data import Split
from fl_app.learner import Learner
from fl_app.settings import Config


@dataclass(frozen=True)
class _Loaded:
    """A message's model and this device's images, ready for work."""

    config: Config
    cid: int
    learner: Learner
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
    now.learner.get_ready()
    loaded = time.perf_counter()
    score = now.learner.train(
        now.training,
        seed=device_data.seed_of("train", now.config.seed, now.cid, int(str(instructions["server-round"]))),
        proximal_mu=float(str(instructions.get("proximal-mu", 0.0))),
    )
    new = now.learner.arrays()
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
    score = now.learner.evaluate(now.validation)
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
    config, part = device_data.place(context.node_config, Config.of(context.run_config))
    entry = entry_of(config)
    splits = device_data.load(context.node_config, config, part)
    learner = frameworks.learner(config, entry, part, whole=False)
    learner.check_frozen(str(message.content.config_records["config"].get("frozen", "")))
    learner.take(message.content.array_records["arrays"], "the server's message")
    return _Loaded(config, device_data.cid_of(context.node_config), learner, *splits)
