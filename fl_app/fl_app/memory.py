"""How much memory a device takes to train a model, measured on the controller before a device is asked to.

    python -m fl_app.memory '{"model": "net", "batch_size": 32, …}'   # every field of Config

trains one batch of random images and evaluates one, on the CPU, in this process, and prints its peak in MB.
"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from fl_app import host
from fl_app.datasets import entry_of
from fl_app.errors import AppError
from fl_app.settings import Config

# What stands beside the ClientApp on a device: the SuperNode and its executor (flwr 1.41: 95 MB each).
SERVICES_MB = 190
IDENTITIES = 576  # VeRi-776's: where a device's own classes decide, so many cost next to nothing
# What the need depends on.
SHAPE = ("framework", "model", "finetune", "image_size", "algorithm", "batch_size", "optimizer", "dataset", "classes")
WRONG = 2  # exit status: a setting is wrong, and the last line says which
APP = Path(__file__).resolve().parents[1]


def needed_mb(config: Config, cache: Path) -> int | None:
    """Return how much memory training takes on a device in MB (10^6 bytes), measured once and kept in ``cache``.

    What the system itself takes is not in it. None where it could not be measured, as with a framework that is not
    installed here: it is advice, and the training itself says what is wrong. Raises `AppError` where the model cannot
    be had or does not take the images.
    """
    if config.framework not in host.versions():
        return None
    shape = {name: asdict(config)[name] for name in SHAPE}
    key = hashlib.sha256(json.dumps([shape, host.versions()], sort_keys=True).encode()).hexdigest()[:16]
    kept = cache / f"memory-{key}.json"
    if not kept.exists():
        done = subprocess.run(
            [sys.executable, "-m", "fl_app.memory", json.dumps(asdict(config))],
            # Of a GPU's memory this process would know nothing, and its driver takes a lot of the host's.
            env={**os.environ, "PYTHONPATH": str(APP), "CUDA_VISIBLE_DEVICES": "", "FL_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == WRONG:
            raise AppError(done.stderr.strip().splitlines()[-1])
        if done.returncode != 0:
            return None
        kept.write_text(done.stdout, encoding="utf-8")
    return int(json.loads(kept.read_text(encoding="utf-8"))) + SERVICES_MB


def main() -> None:
    """Train and evaluate one batch, and print the process's peak."""
    # All that a ClientApp has in memory.
    import flwr.clientapp  # noqa: F401
    import numpy as np

    from fl_app import frameworks
    from fl_app.device_data import Split
    from fl_app.learner import evaluation_batch
    from fl_app.models import side_of

    config = Config(**{**json.loads(sys.argv[1]), "epochs": 1})
    entry = entry_of(config)
    try:
        own = {"classes": IDENTITIES} if entry.reid else {}
        learner = frameworks.learner(config, entry, None, whole=False, **own)
        learner.get_ready()
    except AppError as error:
        print(error, file=sys.stderr)
        sys.exit(WRONG)
    images, rng = max(config.batch_size, evaluation_batch(side_of(config, entry))), np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, entry.channels, entry.side, entry.side), np.uint8)
    split = Split(pixels, rng.integers(0, own.get("classes", len(entry.classes)), images))
    learner.train(split, seed=0)
    learner.evaluate(split)
    print(round(host.peak_memory_mb()))


if __name__ == "__main__":
    main()
