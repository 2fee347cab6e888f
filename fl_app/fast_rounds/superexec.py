"""The executor: `flower-superexec`, whose ClientApps and ServerApps are forks of a warm process."""

from __future__ import annotations

import importlib
import os

from fast_rounds import launch, seams, warm


def main() -> None:
    """Run `flower-superexec`."""
    superexec = importlib.import_module("flwr.supercore.cli.flower_superexec")
    elsewhere = os.environ.get("FAST_ROUNDS_APPS", "")
    # Asked before the seams are: a test looks for it.
    wanted = not elsewhere and warm.wanted_here()
    if seams.as_expected(seams.EXECUTOR, "the executor"):
        commands: launch.Commands | None = None
        if elsewhere:
            from fast_rounds.app_user import AppUser

            commands = AppUser(elsewhere)
        elif wanted:
            # Before the fork: both processes share the memory.
            for name in warm.SHARED:
                importlib.import_module(name)
            commands = warm.start(warm.preload())
        launch.install(importlib.import_module("flwr.supercore.superexec.executor.subprocess_executor"), commands)
    superexec.flower_superexec()
