"""The executor: `flower-superexec`, whose ClientApps and ServerApps are forks of a warm process."""

from __future__ import annotations

import importlib
import os

from fast_rounds import launch, seams, warm

# What takes seconds to import on a small board; a device has one of the frameworks. The first optimizer of a process
# imports torch._dynamo. TensorFlow starts no threads before its first operation.
PRELOAD = "torch torch._dynamo tensorflow"


# What children need of flwr; httpx imports httpcore with its first client.
SHARED = ("flwr.supernode.cli.flwr_clientapp", "flwr.superlink.cli.flwr_serverapp", "flwr.clientapp", "httpcore")


def main() -> None:
    """Run `flower-superexec`."""
    superexec = importlib.import_module("flwr.supercore.cli.flower_superexec")
    wanted = warm.wanted(os.environ.get("FAST_ROUNDS", "auto"), int(os.environ.get("FAST_ROUNDS_SHARING", "1")))
    if seams.as_expected(seams.EXECUTOR, "the executor"):
        commands = None
        if wanted:
            # Before the fork: both processes share the memory.
            for name in SHARED:
                importlib.import_module(name)
            commands = warm.start(os.environ.get("FAST_ROUNDS_PRELOAD", PRELOAD).split())
        launch.install(importlib.import_module("flwr.supercore.superexec.executor.subprocess_executor"), commands)
    superexec.flower_superexec()
