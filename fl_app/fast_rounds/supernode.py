"""The command `flower-supernode` of fast_rounds: stock's with the same arguments, without its waits."""

from __future__ import annotations

import os

from fast_rounds import seams


def main() -> None:
    """Run `flower-supernode`."""
    from flwr.supernode.cli import flower_supernode

    if seams.as_expected(seams.SUPERNODE + seams.DIRECT + seams.HOLD, "the SuperNode"):
        _install()
    flower_supernode()


def _install() -> None:
    import importlib

    from flwr.common.config import parse_config_args
    from flwr.supernode import start_client_internal
    from flwr.supernode.fleet_http_client import FleetHttpClient

    from fast_rounds import (
        crashes,
        direct,
        executor_end,
        objects,
        orphans,
        parcel_client,
        parcel_server,
        supernode_loop,
        task_parcel_server,
    )
    from fast_rounds.bell import Bell
    from fast_rounds.pace import supernode_floor

    command = importlib.import_module("flwr.supernode.cli.flower_supernode")
    args = command._parse_args_run_supernode().parse_args()
    partitions = parse_config_args([args.node_config] if args.node_config else None).get("num-partitions")
    crashes.install()
    orphans.install()
    bell = Bell()
    routes = parcel_server.install(
        direct.supernode(),
        give=lambda _: parcel_server.from_memory,
        take=lambda _: parcel_server.into_memory,
        whole=lambda _: bell.held(),
    )
    direct.install(task_parcel_server.install(routes, bell.held))
    parcel_client.install(FleetHttpClient)
    supernode_loop.install(bell, supernode_floor(partitions if isinstance(partitions, int) else None))
    objects.install(start_client_internal)
    # The executor's question is held until there is something: it need not wait before the next.
    os.environ.setdefault("FLWR_SUPEREXEC_TASK_POLL_INTERVAL", "0.01")
    executor_end.install(start_client_internal)
