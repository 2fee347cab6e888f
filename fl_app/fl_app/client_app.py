"""The ClientApp: what a device does with a message.

Each message usually starts a process of its own, so torch is imported only in the handlers, and counted as
loading.
"""

import platform
import time
from collections.abc import Callable

from flwr.app import ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp, mod
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode  # exported nowhere else

from fl_app import host
from fl_app.errors import AppError
from fl_app.settings import Config
from fl_app.strategies import STRATEGIES

app = ClientApp()


def clipping(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Apply the strategy's modifier where it has one: clipping for differential privacy on the device."""
    entry = STRATEGIES.get(str(context.run_config.get("strategy")))
    if entry is None or entry.mod is None:
        return call_next(message, context)
    clipped: Message = getattr(mod, entry.mod)(message, context, call_next)
    return clipped


@app.train(mods=[clipping])
def train(message: Message, context: Context) -> Message:
    """Train the model that arrives on this device's training split and reply with the new one."""
    return _reply(message, context, _train)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the model that arrives on this device's validation split."""
    return _reply(message, context, _evaluate)


def _reply(message: Message, context: Context, work: Callable[[Message, Context], RecordDict]) -> Message:
    """Reply with the result of ``work``, or with one line that says what a user can do."""
    name = _name(context)
    try:
        content = work(message, context)
    except AppError as error:
        reason = f"{name}: {error}"
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)
    # Flower's strategies average every MetricRecord; what is no number goes into a ConfigRecord, which they
    # leave alone.
    content["device"] = ConfigRecord(
        {
            "cid": int(context.node_config["partition-id"]),
            "host": name,
            "machine": platform.machine(),
            **host.versions(),
        }
    )
    return Message(content, reply_to=message)


def _train(message: Message, context: Context) -> RecordDict:
    started = time.perf_counter()
    import torch

    from fl_app import arrays, device_data, training
    from fl_app.datasets import dataset
    from fl_app.models import build_model

    config = Config.of(context.run_config)
    torch.set_num_threads(host.threads())
    cid, entry = device_data.cid_of(context.node_config), dataset(config.dataset)
    data, _ = device_data.load(context.node_config, config)
    model = build_model(config.model, entry.channels, entry.side, len(entry.classes), config.seed)
    sent, instructions = message.content["arrays"], message.content["config"]
    arrays.into_model(sent, model, "the server's message")
    loaded = time.perf_counter()
    loss = training.train(
        model,
        data,
        entry,
        config,
        device_data.seed_of("train", config.seed, cid, int(instructions["server-round"])),
        float(instructions.get("proximal-mu", 0.0)),
    )
    record = arrays.from_model(model)
    metrics = MetricRecord(
        {
            "num-examples": len(data),
            "train_loss": loss,
            "load_seconds": loaded - started,
            "train_seconds": time.perf_counter() - loaded,
            "peak_memory_mb": host.peak_memory_mb(),
        }
    )
    return RecordDict({"arrays": record, "metrics": metrics})


def _evaluate(message: Message, context: Context) -> RecordDict:
    started = time.perf_counter()
    import torch

    from fl_app import arrays, device_data, training
    from fl_app.datasets import dataset
    from fl_app.models import build_model

    config = Config.of(context.run_config)
    torch.set_num_threads(host.threads())
    entry = dataset(config.dataset)
    _, data = device_data.load(context.node_config, config)
    model = build_model(config.model, entry.channels, entry.side, len(entry.classes), config.seed)
    arrays.into_model(message.content["arrays"], model, "the server's message")
    loaded = time.perf_counter()
    score = training.evaluate(model, data, entry)
    metrics = MetricRecord(
        {
            "num-examples": score.examples,
            "eval_loss": score.loss,
            "eval_accuracy": score.accuracy,
            "load_seconds": loaded - started,
            "evaluate_seconds": time.perf_counter() - loaded,
            "peak_memory_mb": host.peak_memory_mb(),
        }
    )
    return RecordDict({"metrics": metrics})


def _name(context: Context) -> str:
    return str(context.node_config.get("host") or platform.node())
