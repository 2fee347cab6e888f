"""The ServerApp: one training from its first to its last round."""

import logging
import os
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fl_app import host
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
        model=None,
        versions=host.versions(),
        resumed_from=None,
        first_run=str(context.run_id),
        error=None,
        devices={},
        failures=[],
        warnings=[],
        outages=[],
    )
    logger.info("this run's folder: %s", path)
    try:
        with folder.alive():
            config = Config.of(context.run_config)
            from fl_app.federation import run  # takes a while: a wrong setting is told before

            run(grid, config, folder)
    except Exception as error:
        if folder.disk_is_full():
            logger.error("the server's disk is full: %s", one_line(error))
            raise
        folder.update(error=one_line(error))
        if isinstance(error, AppError):
            raise AppError(str(error)) from None  # without the frames: the line says it all
        raise
