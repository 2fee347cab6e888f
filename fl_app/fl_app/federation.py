"""One training over the devices of a grid. Importing this imports torch."""

import logging
import os
import random
from pathlib import Path

import torch
from flwr.app import ArrayRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fl_app import arrays, checkpoints, host, storage, strategies, training
from fl_app.datasets import DATASETS
from fl_app.device_data import Split
from fl_app.errors import AppError
from fl_app.models import build_model
from fl_app.prepare import prepare
from fl_app.recorder import Recorder
from fl_app.run_folder import RunFolder
from fl_app.settings import Config
from fl_app.waiting import Wait

logger = logging.getLogger("flwr")


def run(grid: Grid, config: Config, folder: RunFolder) -> None:
    """Train as ``config`` says over the devices of ``grid`` and write ``folder`` as the rounds end.

    Raises `AppError` where the settings or the data are wrong, or training fails on every device.
    """
    torch.set_num_threads(host.threads())
    random.seed(config.seed)  # the strategies sample the devices with it
    entry = DATASETS[config.dataset]
    strategy = strategies.build(config)
    test = _test_set(config)
    model = build_model(config.model, entry.channels, entry.side, len(entry.classes), config.seed)
    folder.update(model={"name": config.model, "parameters": sum(p.numel() for p in model.parameters())})
    initial, done = _start(config, arrays.from_model(model), strategy, folder)

    def score(record: ArrayRecord) -> tuple[float, float]:
        arrays.into_model(record, model, "the global model")
        result = training.evaluate(model, test, entry)
        return result.loss, result.accuracy

    state = strategies.STRATEGIES[config.strategy].state
    wait = Wait(config.min_devices, config.device_timeout)
    recorder = Recorder(strategy, folder, config.rounds, wait, config.fraction_evaluate > 0, done, state)
    recorder.start(
        grid,
        initial,
        num_rounds=config.rounds - done,
        timeout=config.round_timeout,
        evaluate_fn=recorder.end_of_round(score),
    )


def _start(config: Config, fresh: ArrayRecord, strategy: Strategy, folder: RunFolder) -> tuple[ArrayRecord, int]:
    """Return the arrays to begin with and the rounds that lie behind: ``fresh`` and 0, or a checkpoint's."""
    if not config.resume_from:
        return fresh, 0
    last = checkpoints.load(Path(config.resume_from))
    if last.round >= config.rounds:
        raise AppError(
            f"resume_from={config.resume_from} has {last.round} rounds behind it: rounds={config.rounds} "
            "leaves none to train"
        )
    state = strategies.STRATEGIES[config.strategy].state
    checkpoints.restore(strategy, state, last.state)
    folder.update(resumed_from=str(last.path))
    logger.info("resuming after round %d of %d, from %s", last.round, config.rounds, last.path)
    return last.fitting(fresh), last.round


def _test_set(config: Config) -> Split:
    """Return the held-out test set: the one that was sent here or, in a run by hand, made here."""
    data = Path(os.environ.get("FL_DATA_DIR") or host.fallback_folder("data"))
    if config.partition:
        return Split(*storage.read(data / config.partition))
    return Split(*storage.read(Path(prepare(config, (), (), data)["folder"]) / "server"))
