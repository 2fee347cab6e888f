"""One training over the devices of a grid."""

import json
import logging
import os
import random
from collections.abc import Mapping
from pathlib import Path

from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fl_app import checkpoints, frameworks, host, outage, strategies
from fl_app.answering import Answering
from fl_app.datasets import entry_of
from fl_app.errors import AppError
from fl_app.one_array import OneArray
from fl_app.prepare import prepare, prepared
from fl_app.recorder import Recorder
from fl_app.riding import Evaluation
from fl_app.run_folder import RunFolder
from fl_app.settings import Config
from fl_app.waiting import Wait

logger = logging.getLogger("flwr")


def run(grid: Grid, config: Config, folder: RunFolder) -> None:
    """Train as ``config`` says over the devices of ``grid`` and write ``folder`` as the rounds end.

    Raises `AppError` where the settings or the data are wrong, or training fails on every device.
    """
    random.seed(config.seed)  # the strategies sample the devices with it
    strategy = strategies.build(config)
    config, part = _place(config)
    entry = entry_of(config)
    learner = frameworks.learner(config, entry, part, whole=True)
    test = learner.tester(part)
    parameters, trained = learner.sizes()
    folder.update(model={"name": config.model, "parameters": parameters, "trained": trained})
    if staying := learner.staying():
        folder.save_arrays("frozen", staying, {"model": config.model})  # with a round's, the whole model
    folder.update(warnings=_warnings(part))
    beginning, done = _start(config, learner.arrays(), strategy, folder)
    told = ConfigRecord({"frozen": learner.fingerprint(), "first-run": folder.info["first_run"]})

    def score(record: ArrayRecord) -> Mapping[str, float]:
        learner.take(record, "the global model")
        return test()

    state = strategies.STRATEGIES[config.strategy].state
    wait = Wait(config.min_devices, config.device_timeout)
    recorder = Recorder(strategy, folder, config.rounds, wait, Evaluation.of(config), done, state)
    recorder.start(
        Answering(OneArray(grid)),
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
        folder.update(resumed_from=str(last.path), first_run=last.first_run or folder.info["first_run"])
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
