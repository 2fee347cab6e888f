"""A fleet of its own for the integration tests: on this machine, with its own folder, ports and keys."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from ports import free_ports

if TYPE_CHECKING:
    from .labs import LabFleet

PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Fleet:
    """An inventory, and the playbooks run on it as a user runs them; the controller's state is in `folder`."""

    folder: Path

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory" / "hosts.yml"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def command(self, playbook: str, *settings: str, options: tuple[str, ...] = ()) -> list[str]:
        own = [f"fleet_state={self.folder}/state", f"results_folder={self.results}"]
        extra = [word for setting in (*own, *settings) for word in ("-e", setting)]
        ansible = str(Path(sys.executable).parent / "ansible-playbook")
        return [ansible, "-i", str(self.inventory), f"playbooks/{playbook}.yml", *extra, *options]

    def play(
        self, playbook: str, *settings: str, options: tuple[str, ...] = (), timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(playbook, *settings, options=options),
            cwd=PROJECT,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@dataclass
class LocalFleet(Fleet):
    """A fleet of a server and devices on this machine."""

    devices: int
    host_vars: dict[str, dict[str, object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ports = free_ports(self.devices + 1)
        self.write_inventory()

    def write_inventory(self) -> None:
        names = [f"device{number}" for number in range(1, self.devices + 1)]
        local = {"ansible_connection": "local"}
        hosts = {
            name: {**local, "supernode_port": port, **self.host_vars.get(name, {})}
            for name, port in zip(names, self.ports[1:], strict=True)
        }
        groups = {
            "server": {"hosts": {"hub": {**local, "superlink_port": self.ports[0]}}},
            "devices": {"hosts": hosts},
        }
        self.inventory.parent.mkdir(parents=True, exist_ok=True)
        self.inventory.write_text(yaml.safe_dump({"all": {"children": groups}}))

    def commands(self) -> dict[psutil.Process, str]:
        """Every process whose command line names this fleet's folder, and that line."""
        lines = {process: " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])}
        return {process: line for process, line in lines.items() if str(self.folder) in line}

    def processes(self) -> list[psutil.Process]:
        """Every process whose command line names this fleet's folder."""
        return list(self.commands())

    def end(self) -> None:
        """Stop the services as a user does, then whatever is left of them."""
        self.play("stop", "services=true")
        state = self.folder / "state"
        for pid_file in state.glob("*/supervisor/supervisord.pid"):
            try:
                parent = psutil.Process(int(pid_file.read_text()))
                if str(state) in " ".join(parent.cmdline()):
                    for process in (parent, *parent.children(recursive=True)):
                        process.terminate()
            except (psutil.NoSuchProcess, ValueError):
                continue
        psutil.wait_procs(self.processes(), timeout=20)


ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}


def changed_hosts(output: str) -> dict[str, int]:
    """The `changed=` of each host in the recap."""
    counts = {}
    for line in output.splitlines():
        if " changed=" in line and " unreachable=" in line:
            counts[line.split()[0]] = int(line.split("changed=")[1].split()[0])
    return counts


def latest(fleet: Fleet) -> tuple[Path, dict[str, Any]]:
    """The folder and the record of the last run."""
    folder = (fleet.results / "latest").resolve()
    return folder, json.loads((folder / "run.json").read_text())


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFleet]:
    """A provisioned fleet of three devices."""
    made = LocalFleet(tmp_path_factory.mktemp("fleet"), devices=3)
    try:
        done = made.play("provision")
        assert done.returncode == 0, done.stdout + done.stderr
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def fleet_over_ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFleet]:
    """Virtual hosts that are reached over SSH: a server, a Raspberry Pi and a Jetson, provisioned by one command."""
    from lab import fleet as fleets
    from lab.lab import booted

    from .labs import LabFleet

    hosts = [
        {"name": "hub", "kind": "server", "memory": 1536},
        {"name": "pi", "kind": "raspberry-pi-4", "memory": 1024},
        {"name": "orin", "kind": "jetson-orin-nano", "memory": 2048},
    ]
    folder = tmp_path_factory.mktemp("ssh")
    with booted(fleets.parse({"hosts": hosts}, "ssh"), "s" + secrets.token_hex(3), state=folder / "lab") as lab:
        made = LabFleet(folder, lab)
        looked = made.play("provision", options=("--check", "--diff", "--limit", "pi"))
        assert looked.returncode == 0, looked.stdout + looked.stderr
        done = made.play("provision", timeout=1200)
        assert done.returncode == 0, done.stdout + done.stderr
        yield made
