"""Trains nothing: counts its rounds in context.state, and can be told to fall in one of them."""

import os
import random
import signal
import time

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Send the model back, moved a little, with what this process saw."""
    config = context.run_config
    if config["torch"]:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(int(context.node_config["partition-id"]))
        layer = torch.nn.Linear(100, 100)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        layer(torch.ones(4, 100)).sum().backward()
        optimizer.step()
        step = float(layer.weight.detach().sum())
    else:
        step = 1.0
    state = context.state.metric_records.setdefault("mine", MetricRecord({"rounds": 0}))
    rounds = state["rounds"] = int(float(str(state["rounds"]))) + 1
    if config["crash"] and rounds == config["crash-in"] and context.node_config["partition-id"] == 0:
        _fall(str(config["crash"]))
    time.sleep(float(config["seconds"]))
    model = message.content.array_records["arrays"]
    metrics = MetricRecord(
        {
            "num-examples": 1,
            "cid": int(context.node_config["partition-id"]),
            "pid": os.getpid(),
            "parent": os.getppid(),
            "rounds": rounds,
            "numpy": int(np.random.randint(2**31)),
            "python": random.randrange(2**31),
            "torch": _draw() if config["torch"] else 0,
            "code": CODE,
        }
    )
    arrays = ArrayRecord({name: Array(array.numpy() + np.float32(step)) for name, array in model.items()})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def _fall(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        os._exit(0)
    raise RuntimeError(how)


def _draw() -> int:
    import torch

    return int(torch.default_generator.clone_state().seed() % 2**31)


CODE = 1


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Say that it is fine."""
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1, "loss": 0.0})}), reply_to=message)
