"""The ServerApp's process: `flwr-serverapp` with the fast Grid, for any app."""

from __future__ import annotations

from typing import Any

from fast_rounds import seams


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
        return stock(grid=FastGrid(grid, asking), **kwargs)

    vars(module)["run_"] = run
    objects.install(http_grid)
    parcel_client.install(RuntimeHttpClient)
    parcel_client.install_nodes(RuntimeHttpClient)
    parcel_client.install_grid(http_grid.HttpGrid)


def main() -> None:
    """Run `flwr-serverapp`."""
    install()
    from flwr.superlink.cli import flwr_serverapp

    flwr_serverapp()
