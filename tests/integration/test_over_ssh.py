"""Both playbooks as users run them, over SSH on virtual devices: a server on a host of its own, a Pi and a Jetson."""

from __future__ import annotations

import csv
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import fleet as fleets
from lab.faults import Faults
from lab.lab import Lab, booted
from lab.rootfs import cache_folder

from .conftest import Fleet, changed_hosts, latest

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root"),
    pytest.mark.timeout(1800),
]

HOSTS = {
    "hosts": [
        {"name": "hub", "kind": "server", "memory": 1536},
        {"name": "pi", "kind": "raspberry-pi-4", "memory": 1024},
        {"name": "orin", "kind": "jetson-orin-nano", "memory": 2048},
    ]
}
NAMES = {"hub", "pi", "orin"}


@dataclass
class LabFleet(Fleet):
    """A fleet of the lab."""

    lab: Lab

    @property
    def inventory(self) -> Path:
        return self.lab.folder / "inventory.yml"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFleet]:
    """The hosts, provisioned by one command."""
    folder = tmp_path_factory.mktemp("ssh")
    wheels = folder / "state" / "wheels"
    wheels.parent.mkdir()
    wheels.symlink_to(cache_folder() / "wheels")  # kept from one test run to the next
    (cache_folder() / "wheels").mkdir(parents=True, exist_ok=True)
    with booted(fleets.parse(HOSTS, "ssh"), "s" + secrets.token_hex(3), state=folder / "lab") as lab:
        made = LabFleet(folder, lab)
        looked = made.play("provision", options=("--check", "--diff"))
        assert looked.returncode == 0, looked.stdout + looked.stderr
        done = made.play("provision", timeout=1200)
        assert done.returncode == 0, done.stdout + done.stderr
        yield made


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_finished(fleet: LabFleet) -> Path:
    folder, record = latest(fleet)
    assert record["status"] == "finished"
    devices = [row["devices"] for row in rows(folder / "rounds.csv")]
    assert devices == ["2", "2"]
    assert {row["host"] for row in rows(folder / "devices.csv")} == {"pi", "orin"}
    assert (folder / "report.html").stat().st_size > 10_000
    for log in ("server/superlink", "server/serverapp", "pi/supernode", "orin/supernode"):
        assert (folder / "logs" / f"{log}.log").stat().st_size > 0
    return folder


def test_a_second_time_changes_nothing(fleet: LabFleet) -> None:
    done = fleet.play("provision", options=("--diff",))
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed_hosts(done.stdout) == dict.fromkeys([*NAMES, "localhost"], 0), done.stdout


def test_a_limit_names_devices_and_check_mode_holds(fleet: LabFleet) -> None:
    done = fleet.play("provision", options=("--check", "--diff", "--limit", "pi"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed_hosts(done.stdout) == {"localhost": 0, "hub": 0, "pi": 0}, done.stdout


def test_two_rounds(fleet: LabFleet) -> None:
    done = fleet.play("run_fl", "rounds=2", "epochs=1")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = assert_finished(fleet)
    _, record = latest(fleet)
    hosts = {host["host"]: host for host in [record["server"], *record["devices"]]}
    assert hosts["pi"]["memory_mb"] <= 1024
    assert all("+cpu" in host["torch"] for host in hosts.values())  # no GPU, no 3 GB of CUDA
    assert "PRIVATE KEY" not in "".join(path.read_text() for path in folder.rglob("*.log"))


def test_after_a_reboot_of_every_host_nothing_need_be_done(fleet: LabFleet) -> None:
    for name in NAMES:
        Faults(fleet.lab).reboot(name)
    done = fleet.play("run_fl", "rounds=2", "epochs=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert_finished(fleet)
