"""Try the installed packages out on this machine: import flwr, and train one batch with torch or TensorFlow."""

import importlib.util
import json
import platform
import time

import flwr

start = time.monotonic()
seen = {"python": platform.python_version(), "flwr": flwr.__version__}
if importlib.util.find_spec("torch"):
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Flatten(), torch.nn.Linear(8 * 30 * 30, 10)
    ).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    images, labels = torch.randn(8, 3, 32, 32, device=device), torch.arange(8, device=device)
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    if not torch.isfinite(loss):
        raise SystemExit(f"the loss of a first batch is {loss.item()}")
    seen |= {"torch": torch.__version__, "device": device}
    if device == "cuda":
        seen["gpu"] = torch.cuda.get_device_name(0)
elif importlib.util.find_spec("tensorflow"):
    import keras
    import numpy as np
    import tensorflow

    network = keras.Sequential(
        [keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization(), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    batch = np.random.default_rng().random((8, 32, 32, 3), np.float32)
    loss = network.train_on_batch(batch, np.arange(8))
    if not np.isfinite(loss):
        raise SystemExit(f"the loss of a first batch is {loss}")
    gpus = tensorflow.config.list_physical_devices("GPU")
    seen |= {"tensorflow": tensorflow.__version__, "device": "cuda" if gpus else "cpu"}
print(json.dumps(seen | {"seconds": round(time.monotonic() - start, 1)}))
