"""The lab's commands."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import cache, fleet, inventory, names
from .errors import LabError
from .faults import Faults
from .host import greets
from .lab import Lab, in_folder
from .waiting import each

# Each fault: the values that follow the host, and what it does. Its method has the same name.
FAULTS: dict[str, tuple[dict[str, Callable[[str], Any]], str]] = {
    "kill": ({}, "cut the power"),
    "start": ({}, "switch on again after kill"),
    "reboot": ({}, "reboot"),
    "freeze": ({}, "stop everything, as a board that hangs"),
    "thaw": ({}, "go on after freeze"),
    "pull": ({}, "pull the network cable"),
    "plug": ({}, "plug it in again"),
    "cut": ({"other": str}, "cut the link between two hosts"),
    "heal": ({"other": str}, "take a cut back"),
    "loss": ({"percent": float}, "lose packets in both directions; 0 ends it"),
    "rate": ({"kbit": int}, "limit the link to kbit/s; 0 ends it"),
    "fill-disk": ({"leave": int}, "fill the disk but for so many MiB"),
    "free-disk": ({}, "take that back"),
    "take-memory": ({"leave": int}, "take the available memory but for so many MiB"),
    "give-memory": ({}, "take that back"),
    "clock": ({"seconds": float}, "move the clock so far from the right time; 0 sets it right"),
    "reflash": ({}, "a fresh disk and new host keys"),
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of `python tests/lab`."""
    top = argparse.ArgumentParser(prog="lab", description="A fleet of virtual devices: tests/lab/README.md")
    top.add_argument("--name", default=names.DEFAULT_NAME, help="the lab's name (default: %(default)s)")
    top.add_argument("--state", type=Path, default=names.STATE, help="folder of labs (default: .lab here)")
    commands = top.add_subparsers(dest="command", required=True)

    up = commands.add_parser("up", help="boot a fleet")
    up.add_argument("fleet", nargs="?", type=Path, default=fleet.DEFAULT, help="its YAML file")
    up.add_argument("--subnet", default=names.DEFAULT_SUBNET, help="a /24, or auto (default: %(default)s)")
    down = commands.add_parser("down", help="remove every trace of the lab")
    down.add_argument("--all", action="store_true", help="of every lab in the folder")
    built = commands.add_parser("cache", help="build ahead what hosts of an architecture are made from")
    built.add_argument("what", choices=cache.TIMES)
    commands.add_parser("status", help="show the hosts")
    commands.add_parser("inventory", help="print inventory/lab.yml for the default fleet")
    commands.add_parser("trust", help="make the hosts' present keys known, after a reflash")
    fault = commands.add_parser("fault", help="make a fault, or take it back")
    kinds = fault.add_subparsers(dest="fault", required=True)
    for name, (values, text) in FAULTS.items():
        made = kinds.add_parser(name, help=text)
        made.add_argument("host")
        for value, kind in values.items():
            made.add_argument(value, type=kind)
    ssh = commands.add_parser("ssh", help="open a shell on a host, or run a command there")
    ssh.add_argument("host")
    ssh.add_argument("words", nargs=argparse.REMAINDER, metavar="command")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = parser().parse_args(argv)
    try:
        return run(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130


def say(text: str) -> None:
    """Tell the user what takes time."""
    print(f"lab: {text}", flush=True)


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments ask."""
    state: Path = arguments.state.resolve()
    if arguments.command == "up":
        started = time.monotonic()
        lab = Lab.up(fleet.load(arguments.fleet), arguments.name, arguments.subnet, state, say)
        took = time.monotonic() - started
        say(f"{len(lab.hosts)} hosts answer ssh after {took:.1f} s; inventory: {lab.inventory}")
    elif arguments.command == "inventory":
        default = names.parse(names.DEFAULT_NAME, names.DEFAULT_SUBNET)
        print(inventory.static(default, fleet.load(fleet.DEFAULT)), end="")
    elif arguments.command == "down":
        labs = in_folder(state) if arguments.all else [arguments.name]
        each(lambda name: Lab.clear(name, state), labs)
        cache.tidy()
        say(f"down: {', '.join(labs) or 'there was no lab'}")
    elif arguments.command == "cache":
        say(f"in the cache: {cache.build(arguments.what, say)}")
    elif arguments.command == "status":
        show(Lab.find(arguments.name, state))
    elif arguments.command == "trust":
        Lab.find(arguments.name, state).write_known_hosts()
    elif arguments.command == "fault":
        faults = Faults(Lab.find(arguments.name, state))
        values = [getattr(arguments, value) for value in FAULTS[arguments.fault][0]]
        getattr(faults, arguments.fault.replace("-", "_"))(arguments.host, *values)
    elif arguments.command == "ssh":
        command = Lab.find(arguments.name, state).ssh_argv(arguments.host, *arguments.words)
        os.execvp(command[0], command)
    return 0


def show(lab: Lab) -> None:
    """Print a table of the hosts."""
    from rich.console import Console
    from rich.table import Table

    table = Table("host", "kind", "address", "state", "memory", box=None)
    for host in lab.hosts.values():
        running = bool(host.group.processes())
        state = "answers ssh" if greets(host.address) else "does not answer" if running else "off"
        used = f"{host.group.memory() / 2**20:.0f} of {host.spec.memory} MiB" if running else ""
        table.add_row(host.spec.name, host.spec.kind.name, host.address, state, used)
    Console().print(table)
