"""The command `flower-superlink` of fast_rounds: stock's with the same arguments, less work for each request.

Its ServerApps get the fast Grid.
"""

from __future__ import annotations

from fast_rounds import launch, seams


def main() -> None:
    """Run `flower-superlink`."""
    import os
    from importlib import import_module

    from flwr.superlink.cli import flower_superlink

    if seams.as_expected(seams.SUPERLINK + seams.DIRECT + seams.HOLD, "the SuperLink"):
        from fast_rounds import (
            direct,
            expiry,
            hold,
            identity,
            message_rows,
            new_runs,
            object_rows,
            parcel_database,
            parcel_server,
            reply_rows,
            run_status,
            traffic,
        )

        holds = hold.Holds()
        routes = parcel_server.install(
            direct.superlink(), parcel_database.give, parcel_database.take, lambda state: state.session()
        )
        direct.install(routes, holds)
        hold.install(holds)
        for part in (expiry, identity, message_rows, new_runs, object_rows, reply_rows, run_status, traffic):
            part.install()
        # The executor's question is held: it need not wait before the next.
        os.environ.setdefault("FLWR_SUPEREXEC_TASK_POLL_INTERVAL", "0.01")
        launch.install(import_module("flwr.superlink.cli.flower_superlink"))
    flower_superlink()
