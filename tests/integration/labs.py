"""What the tests of all the lab's tiers share."""

import functools
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab import cache, fleet, footprint, names
from lab.lab import Lab, booted
from lab.rootfs import cache_folder
from lab.waiting import wait_for

from .conftest import Fleet
from .turns import alone

COMMAND = [sys.executable, str(names.REPOSITORY / "tests" / "lab")]
ANSIBLE = [str(Path(sys.executable).parent / "ansible"), "all"]
SERVER = {"name": "hub", "kind": "server", "memory": 512}


@dataclass
class LabFleet(Fleet):
    """A fleet of the lab, on which the playbooks are run over SSH; what they showed is kept."""

    lab: Lab
    shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        kept = cache_folder() / "wheels"  # from one test run to the next
        kept.mkdir(parents=True, exist_ok=True)
        (self.folder / "state").mkdir()
        (self.folder / "state" / "wheels").symlink_to(kept)

    @property
    def inventory(self) -> Path:
        return self.lab.folder / "inventory.yml"

    def play(
        self, playbook: str, *settings: str, options: tuple[str, ...] = (), timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        done = super().play(playbook, *settings, options=options, timeout=timeout)
        self.shown.append(done.stdout + done.stderr)
        return done


def skip_unless_named(file: str, tier: str, config: pytest.Config) -> None:
    """Skip the tests of a file that takes minutes, unless it is named on the command line and the tier is there."""
    if not any(Path(file).name in word for word in config.invocation_params.args):
        pytest.skip(f"slow: `make test-{tier}` runs these")
    if reason := cache.absent(tier):
        pytest.skip(reason)


def new_name() -> str:
    return "t" + secrets.token_hex(3)


@functools.cache
def warm_up() -> None:
    """Build the cache and install packages, which stay."""
    with booted(fleet.parse({"hosts": [SERVER]}, "warm-up"), new_name()):
        pass


@contextmanager
def nothing_stays(state: Path) -> Iterator[None]:
    """Compare the machine before and after; the scenarios of the roles wait as long with labs of their own."""
    with alone():
        warm_up()
        before = footprint.take()
        yield
        assert not state.exists()
        after = footprint.take()
    if before["labs"] or after["labs"]:
        pytest.skip("somebody else's lab is up on this machine: before and after cannot be compared")
    assert footprint.changes(before, after) == []


@contextmanager
def traceless(hosts: dict[str, Any], state: Path) -> Iterator[Lab]:
    """Boot a fleet of which nothing may stay behind."""
    with nothing_stays(state), booted(fleet.parse(hosts, "test"), new_name(), state=state) as up:
        yield up


def crash(happened: Callable[[names.Names], bool], state: Path, *arguments: str) -> None:
    """Kill `up` once something has happened, and take down what it left; nothing may stay."""
    with nothing_stays(state):
        planned = names.parse(new_name(), names.DEFAULT_SUBNET, state)  # the subnet is another one
        command = [*COMMAND, "--state", str(state), "--name", planned.lab]
        with subprocess.Popen([*command, "up", "--subnet", "auto", *arguments], stdout=subprocess.DEVNULL) as up:
            wait_for(lambda: happened(planned) or up.poll() is not None, 120, "the moment to crash at was never seen")
            up.send_signal(signal.SIGKILL)
        assert up.returncode == -signal.SIGKILL
        subprocess.run([*command, "down"], check=True, stdout=subprocess.DEVNULL)
