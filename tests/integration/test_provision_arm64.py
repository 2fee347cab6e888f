"""The playbooks on a device of a board's own architecture: its wheels, its torch, and rounds that it trains in.

These tests run where this file is named: `make test-arm64`.
"""

import os
import secrets
from collections.abc import Iterator

import pytest

from lab import fleet as fleets
from lab.lab import booted

from .conftest import PROJECT, changed_hosts, latest
from .labs import LabFleet, skip_unless_named

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root"),
    pytest.mark.timeout(3600),
]

HOSTS = {
    "hosts": [
        {"name": "hub", "kind": "server", "memory": 1536},
        {"name": "pi", "kind": "raspberry-pi-4", "memory": 2048, "arch": "arm64"},
    ]
}
WHAT = "import platform, torch; print(torch.__version__, platform.machine())"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[LabFleet]:
    """The hosts, provisioned: which ends with one batch that the device trains."""
    skip_unless_named(__file__, "arm64", pytestconfig)
    folder = tmp_path_factory.mktemp("arm64")
    with booted(fleets.parse(HOSTS, "arm64"), "s" + secrets.token_hex(3), state=folder / "lab") as lab:
        made = LabFleet(folder, lab)
        done = made.play("provision", timeout=2400)
        assert done.returncode == 0, done.stdout + done.stderr
        yield made


def test_the_device_has_its_platforms_torch(fleet: LabFleet) -> None:
    pinned = (PROJECT / "files/constraints/aarch64.txt").read_text(encoding="utf-8")
    version, machine = fleet.lab.ssh(
        "pi", f"sudo -u fl /opt/flowerbed/venv/bin/python -c '{WHAT}'", timeout=300
    ).split()
    assert machine == "aarch64"
    assert f"torch=={version.split('+')[0]}" in pinned


def test_a_second_time_changes_nothing(fleet: LabFleet) -> None:
    done = fleet.play("provision", options=("--diff",), timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(changed_hosts(done.stdout).values()) == {0}, done.stdout


def test_it_trains(fleet: LabFleet) -> None:
    done = fleet.play("run_fl", "rounds=1", "epochs=1", timeout=2400)
    assert done.returncode == 0, done.stdout + done.stderr
    _, record = latest(fleet)
    assert record["status"] == "finished"
    assert [device["architecture"] for device in record["devices"]] == ["aarch64"]
