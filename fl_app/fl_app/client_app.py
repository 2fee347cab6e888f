"""The ClientApp: what a device does with a message.

Each message usually starts a process of its own. The framework is imported in the handlers, where the time that it
takes is counted as loading.
"""

import platform
import time

from flwr.app import ConfigRecord, Context, Error, Message
from flwr.clientapp import ClientApp, mod
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode  # exported nowhere else

from fl_app import host, one_array
from fl_app.errors import AppError
from fl_app.strategies import STRATEGIES

app = ClientApp()


def clipping(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Apply the strategy's modifier where it has one: clipping for differential privacy on the device."""
    entry = STRATEGIES.get(str(context.run_config.get("strategy")))
    if entry is None or entry.mod is None:
        return call_next(message, context)
    clipped: Message = getattr(mod, entry.mod)(message, context, call_next)
    return clipped


@app.train(mods=[one_array.on_device, clipping])
def train(message: Message, context: Context) -> Message:
    """Train the model that arrives on this device's training split and reply with the new one."""
    return _reply("train", message, context)


@app.evaluate(mods=[one_array.on_device])
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the model that arrives on this device's validation split."""
    return _reply("evaluate", message, context)


def _reply(phase: str, message: Message, context: Context) -> Message:
    """Reply with the result of the work, or with one line that says what a user can do."""
    started = time.perf_counter()
    name = str(context.node_config.get("host") or platform.node())
    try:
        from fl_app import work

        handler = work.train if phase == "train" else work.evaluate
        content = handler(message, context, started)
    except AppError as error:
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, f"{name}: {error}"), reply_to=message)
    # Flower's strategies average the MetricRecord; they leave a ConfigRecord, where the words go, alone.
    content["device"] = ConfigRecord(
        {
            "cid": int(context.node_config["partition-id"]),
            "host": name,
            "machine": platform.machine(),
            **host.versions(),
        }
    )
    return Message(content, reply_to=message)
