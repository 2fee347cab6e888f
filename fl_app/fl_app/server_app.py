"""The ServerApp: one training from its first to its last round."""

import logging
import os
import random
from pathlib import Path

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp

from fl_app import host, strategies
from fl_app.datasets import dataset
from fl_app.errors import AppError, one_line
from fl_app.run_folder import RunFolder
from fl_app.settings import Config

logger = logging.getLogger("flwr")
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, and leave the run's folder; also where it fails, with the reason in app.json."""
    path = Path(os.environ.get("FL_RUNS_DIR") or host.fallback_folder("runs")) / str(context.run_id)
    folder = RunFolder(path)
    folder.update(
        model=None, versions=host.versions(), resumed_from=None, error=None, devices={}, failures=[]
    )
    logger.info("this run's folder: %s", path)
    try:
        run(grid, Config.of(context.run_config), folder)
    except Exception as error:
        folder.update(error=one_line(error))
        if isinstance(error, AppError):
            raise AppError(str(error)) from None  # without the frames: the line says it all
        raise


def run(grid: Grid, config: Config, folder: RunFolder) -> None:
    """Train as ``config`` says over the devices of ``grid`` and write ``folder`` as the rounds end.

    Raises `AppError` where the settings, the data or every device's training is wrong.
    """
    import torch

    from fl_app import arrays, checkpoints, training
    from fl_app.models import build_model
    from fl_app.recorder import Recorder

    torch.set_num_threads(host.threads())
    random.seed(config.seed)  # the strategies sample the devices with it
    entry = dataset(config.dataset)
    test = _test_set(config)
    model = build_model(config.model, entry.channels, entry.side, len(entry.classes), config.seed)
    folder.update(model={"name": config.model, "parameters": sum(p.numel() for p in model.parameters())})
    initial, done = arrays.from_model(model), 0
    strategy = strategies.build(config)
    state = strategies.STRATEGIES[config.strategy].state
    if config.resume_from:
        last = checkpoints.load(Path(config.resume_from))
        try:
            initial = checkpoints.ordered(last.arrays, initial)
        except AppError as error:
            raise AppError(f"{last.path}: {error}") from None
        done = last.round
        if done >= config.rounds:
            raise AppError(
                f"resume_from={config.resume_from} ends with round {done}: rounds={config.rounds} is no more"
            )
        checkpoints.restore(strategy, state, last.state)
        folder.update(resumed_from=str(last.path))
        logger.info("resuming after round %d of %d, from %s", done, config.rounds, last.path)

    def score(record: ArrayRecord) -> tuple[float, float]:
        arrays.into_model(record, model, "the global model")
        result = training.evaluate(model, test, entry)
        return result.loss, result.accuracy

    recorder = Recorder(strategy, folder, config.rounds, done, state)
    logger.info("a round waits, without a limit, until at least %d devices are online", config.min_devices)
    recorder.start(
        grid,
        initial,
        num_rounds=config.rounds - done,
        timeout=config.round_timeout,
        evaluate_fn=recorder.end_of_round(score),
    )


def _test_set(config: Config) -> "training.Split":  # type: ignore[name-defined]  # noqa: F821
    """Return the held-out test set: the one that was sent here or, in a run by hand, made here."""
    from fl_app import storage
    from fl_app.device_data import Split
    from fl_app.prepare import prepare

    data = Path(os.environ.get("FL_DATA_DIR") or host.fallback_folder("data"))
    if config.partition:
        return Split(*storage.read(data / config.partition))
    return Split(*storage.read(Path(prepare(config, (), (), data)["folder"]) / "server"))
