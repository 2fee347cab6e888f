"""The ServerApp's process: `flwr-serverapp` with the fast Grid, for any app."""

from __future__ import annotations

import os
from typing import Any

from fast_rounds import seams

RUNS = "FL_RUNS_DIR"  # of the SuperLink's service: what an app writes to <run id>/ there is brought back


def install() -> None:
    """Hand the app the fast Grid in place of flwr's, where flwr is as expected."""
    if not seams.as_expected(seams.SERVERAPP + seams.HOLD, "the ServerApp"):
        return
    import importlib

    from flwr.supercore.runtime import RuntimeHttpClient
    from flwr.superlink.grid import http_grid

    from fast_rounds import hold, objects, parcel_client
    from fast_rounds.asking import Asking
    from fast_rounds.grid import FastGrid

    module = importlib.import_module("flwr.superlink.runtime.run_serverapp")  # the package hides it by its function
    stock = module.run_
    asking = Asking(hold.GRID)
    asking.install(http_grid, "RuntimeVersionHttpInterceptor")

    def run(grid: Any, **kwargs: Any) -> Any:
        make_folder(kwargs["context"].run_id)
        return stock(grid=FastGrid(grid, asking), **kwargs)

    vars(module)["run_"] = run
    objects.install(http_grid)
    parcel_client.install(RuntimeHttpClient)
    parcel_client.install_nodes(RuntimeHttpClient)
    parcel_client.install_grid(http_grid.HttpGrid)


def make_folder(run_id: int) -> None:
    """Make the folder for what the app leaves: it begins before whoever submitted it has done so."""
    if RUNS in os.environ:
        os.makedirs(os.path.join(os.environ[RUNS], str(run_id)), mode=0o700, exist_ok=True)


def main() -> None:
    """Run `flwr-serverapp`."""
    install()
    from flwr.superlink.cli import flwr_serverapp

    flwr_serverapp()
