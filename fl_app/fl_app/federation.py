"""One training over the devices of a grid. Importing this imports torch."""

import json
import logging
import os
import random
from pathlib import Path

import torch
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fl_app import arrays, checkpoints, host, initial, outage, storage, strategies, training
from fl_app.answering import Answering
from fl_app.datasets import entry_of
from fl_app.device_data import Split
from fl_app.errors import AppError
from fl_app.inputs import Inputs
from fl_app.prepare import prepare, prepared
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
    strategy = strategies.build(config)
    config, part = _place(config)
    entry = entry_of(config)
    test = Split(*storage.read(part))
    model = initial.build(config, entry, part, whole=True).to(training.best_device())
    inputs = Inputs.of(model, entry, config)
    sizes = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    whole = sum(parameter.numel() for parameter in model.parameters())
    folder.update(model={"name": config.model, "parameters": whole, "trained": sum(sizes)})
    if staying := initial.staying(model):
        folder.save_arrays("frozen", staying, {"model": config.model})  # with a round's, the whole model
    folder.update(warnings=_warnings(part))
    told = ConfigRecord({"frozen": initial.fingerprint(model)})
    beginning, done = _start(config, arrays.from_model(model), strategy, folder)

    def score(record: ArrayRecord) -> tuple[float, float]:
        arrays.into_model(record, model, "the global model")
        result = training.evaluate(model, test, inputs)
        return result.loss, result.accuracy

    state = strategies.STRATEGIES[config.strategy].state
    wait = Wait(config.min_devices, config.device_timeout)
    recorder = Recorder(strategy, folder, config.rounds, wait, config.fraction_evaluate > 0, done, state)
    recorder.start(
        Answering(grid),
        beginning,
        num_rounds=config.rounds - done,
        timeout=config.round_timeout,
        train_config=told,
        evaluate_config=told,
        evaluate_fn=recorder.end_of_round(score),
    )


def _start(config: Config, fresh: ArrayRecord, strategy: Strategy, folder: RunFolder) -> tuple[ArrayRecord, int]:
    """Return the arrays to begin with and the rounds that lie behind: ``fresh`` and 0, or a checkpoint's."""
    continues = bool(config.continue_from) and outage.take_over(folder, Path(config.continue_from))
    if not continues and not config.resume_from:
        return fresh, 0
    last = checkpoints.load(folder.path if continues else Path(config.resume_from))
    if last.round >= config.rounds and not continues:
        raise AppError(
            f"resume_from={config.resume_from} has {last.round} rounds behind it: rounds={config.rounds} "
            "leaves none to train"
        )
    state = strategies.STRATEGIES[config.strategy].state
    checkpoints.restore(strategy, state, last.state)
    if not continues:
        folder.update(resumed_from=str(last.path))
    logger.info("resuming after round %d of %d, from %s", last.round, config.rounds, last.path)
    return last.fitting(fresh), last.round


def _warnings(part: Path) -> list[str]:
    """Return what is odd about the parts, a line each, and log it."""
    info = json.loads((part / "dataset.json").read_text(encoding="utf-8"))
    found = []
    counts = [sum(column) for column in zip(*info["labels"].values(), strict=True)]
    if missing := [name for name, count in zip(info["classes"], counts, strict=False) if not count]:
        found.append(f"no device was sent images of: {', '.join(missing)}")
    for line in found:
        logger.warning("%s", line)
    return found


def _place(config: Config) -> tuple[Config, Path]:
    """Return the folder with the test set and the weights: what was sent here or, in a run by hand, is made here."""
    data = Path(os.environ.get("FL_DATA_DIR") or host.fallback_folder("data"))
    if config.partition:
        return config, data / config.partition
    made = prepare(config, (), (), data)
    return prepared(config, made), Path(made["folder"]) / "server"
