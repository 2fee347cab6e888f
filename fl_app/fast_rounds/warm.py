"""The warm process: it has imported what apps need, and forks into a ClientApp or ServerApp where stock starts Python.

It is forked from the executor before that reads its secret or makes a connection.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
import sys
import weakref
from collections.abc import Iterable
from typing import Any

import eager_torch
from fast_rounds import child
from fast_rounds.forks import Forks
from fast_rounds.large_pages import LargePages
from fast_rounds.launch import Commands

WARNING = 30
# What takes seconds to import on a small board; a device has one of the frameworks. TensorFlow starts no threads before
# its first operation.
PRELOAD = "torch tensorflow"
# What children need of flwr; httpx imports httpcore with its first client, and numpy its random when it is asked for.
SHARED = (
    "flwr.supernode.cli.flwr_clientapp",
    "flwr.superlink.cli.flwr_serverapp",
    "flwr.clientapp",
    "httpcore",
    "numpy.random",
    "fast_rounds.clientapp_client",
    "fast_rounds.heartbeats",
    "fast_rounds.objects",
    "fast_rounds.silence",
    "fast_rounds.unpacked",
)


class Warm(Commands):
    """The executor's end: starts the processes of apps as forks."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders

    def Popen(self, command: list[str], **kwargs: Any) -> object:  # noqa: N802 - it is called by this name
        """Have `command` run by a fork; by a new process where it wants packages of its own or the warm one is gone."""
        if command[0] in child.ENTRIES and "--allow-runtime-dependency-installation" not in command:
            try:
                self._orders.send(order(command, quiet="stdout" in kwargs))
                return None
            except OSError as error:
                from flwr.supercore import log

                log(WARNING, "fast_rounds: the warm process is gone (%s): %s starts stock", error, command[0])
        return super().Popen(command, **kwargs)


def order(command: list[str], quiet: bool, answer: bool = False) -> bytes:
    """Return the order to start `command`; `answer`: its exit status is to be told."""
    return json.dumps({"argv": command, "quiet": quiet, "answer": answer}).encode()


def start(preload: Iterable[str]) -> Warm:
    """Fork the warm process and return this process's end of it."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pages = LargePages()
    pages.collapse()  # before the fork, so that both share them
    if os.fork() == 0:
        here.close()
        try:
            forks = Forks(warm=True, tells=True)
            import_ahead(preload)
            pages.collapse()
            forks.serve(there)
        finally:
            os._exit(0)
    there.close()
    return Warm(here)


def import_ahead(names: Iterable[str]) -> None:
    """Import modules where they are installed."""
    from flwr.supercore import log

    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            pass  # not on this device: its apps do not need it
        except Exception as error:
            log(WARNING, "fast_rounds: %s cannot be imported ahead: %s", name, " ".join(str(error).split()))
    eager_torch.without_compiler()
    rehearse()
    for ours in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        ours.atexit = False  # torch has hundreds, a third of what a message costs; they free what dies anyway
    gc.freeze()  # children's collections leave what is here alone, and so share its memory


def rehearse() -> None:
    """Do ahead what each ClientApp's process does; where that fails, forks take longer."""
    try:
        importlib.import_module("fast_rounds.rehearsal").rehearse()
    except Exception as error:
        from flwr.supercore import log

        log(WARNING, "fast_rounds: the rehearsal failed, each ClientApp takes longer: %s", " ".join(str(error).split()))


def preload() -> list[str]:
    """Return the names of what is imported ahead."""
    return os.environ.get("FAST_ROUNDS_PRELOAD", PRELOAD).split()


def enough_memory(sharing: int, least_mib: int = 800) -> bool:
    """Return whether each of `sharing` devices of this host can have a warm process.

    A board that is sold with 1 GB shows some 900 MiB.
    """
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        with open("/proc/meminfo", encoding="ascii") as file:  # in a container it may say less than sysconf
            total = min(total, int(next(line for line in file if line.startswith("MemTotal")).split()[1]) * 1024)
    except (OSError, StopIteration, ValueError):
        return False
    return total >= least_mib * 1024 * 1024 * sharing


def wanted(setting: str, sharing: int = 1) -> bool:
    """Return whether to keep a warm process: `on`, or `auto` with 1 GB or more a device. Linux alone forks safely."""
    return sys.platform == "linux" and (setting == "on" or (setting == "auto" and enough_memory(sharing)))


def wanted_here() -> bool:
    """Return whether this process's environment asks for one."""
    return wanted(os.environ.get("FAST_ROUNDS", "auto"), int(os.environ.get("FAST_ROUNDS_SHARING", "1")))
