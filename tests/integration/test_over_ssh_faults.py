"""Faults of devices, network and disks in one long run, one after another; then a board with a new card.

After test_over_ssh.py, whose hosts these are. It takes minutes, and runs where it is named on the command line alone.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.faults import Faults
from waits import wait_for

from .conftest import ENVIRONMENT, PROJECT, latest
from .labs import LabFleet

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root"),
    pytest.mark.timeout(1800),
]
LIMIT = 600.0  # seconds for what takes a minute at most on a quiet machine
HANG = 90  # round_timeout: seconds that a device that hangs costs
Row = dict[str, str]


class Training:
    """A run that goes on until it is stopped, and what its rounds say."""

    def __init__(self, fleet: LabFleet, shown: Path) -> None:
        self.fleet, self.shown, self.faults = fleet, shown, Faults(fleet.lab)
        with shown.open("w") as file:
            command = fleet.command("run_fl", "rounds=100000", "epochs=1", "min_devices=1", f"round_timeout={HANG}")
            self.playbook = subprocess.Popen(
                command, cwd=PROJECT, env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT
            )

    def rounds(self) -> list[Row]:
        """The rounds that have ended, by the folder of the run that is the last one."""
        command = "sudo sh -c 'cat $(ls -td /var/lib/flowerbed/runs/*/rounds.csv | head -1)'"
        text = self.fleet.lab.ssh("hub", command, timeout=60, check=False)
        return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))

    def wait(self, what: str, condition: Callable[[Row], bool]) -> Row:
        """Wait for a round, of those that end from now on, for which something holds; return its row."""
        before = {row["round"] for row in self.rounds()}
        found: list[Row] = []

        def there() -> bool:
            assert self.playbook.poll() is None, self.shown.read_text()
            found[:] = [row for row in self.rounds() if row["round"] not in before and condition(row)]
            return bool(found)

        wait_for(there, what, LIMIT)
        return found[0]

    def whole(self) -> Row:
        """Wait for a round in which both devices trained."""
        return self.wait("a round of both devices", lambda row: (row["devices"], row["failures"]) == ("2", "0"))

    def lacking(self) -> Row:
        """Wait for a round that the Jetson alone trained."""
        return self.wait("a round without the Pi", lambda row: row["devices"] == "1")


@pytest.fixture(scope="module", autouse=True)
def named(pytestconfig: pytest.Config) -> None:
    if not any(Path(__file__).name in word for word in pytestconfig.invocation_params.args):
        pytest.skip("slow: name this file on the command line")


@pytest.fixture(scope="module")
def training(named: None, fleet_over_ssh: LabFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    back = fleet_over_ssh.play("provision", timeout=1200)  # the Jetson, where it was taken out before
    assert back.returncode == 0, back.stdout + back.stderr
    run = Training(fleet_over_ssh, tmp_path_factory.mktemp("training") / "shown")
    try:
        run.whole()
        yield run
    finally:
        run.playbook.kill()
        run.playbook.wait()


def test_packets_that_are_lost_cost_no_device(training: Training) -> None:
    training.faults.loss("pi", 10)
    try:
        training.whole()
    finally:
        training.faults.loss("pi", 0)


def test_a_link_of_one_megabit_costs_no_device(training: Training) -> None:
    training.faults.rate("pi", 1000)
    try:
        training.whole()
    finally:
        training.faults.rate("pi", 0)


def test_a_board_that_stands_still_for_a_while_goes_on(training: Training) -> None:
    training.faults.freeze("pi")
    try:
        training.lacking()
    finally:
        training.faults.thaw("pi")
    training.whole()


def test_an_app_that_stands_still_costs_one_round(training: Training) -> None:
    # The warm process's next fork, as one that is there already may have answered, and not before it has its message:
    # until then it is replaced after half a minute, and nothing is lost.
    newest = "pgrep --newest --parent $(systemctl show --property=MainPID --value clientapps)"
    catch = f"""
old=$({newest})
until pid=$({newest}) && [ "$pid" != "$old" ]; do :; done
until [ "$(cut --delimiter=' ' --fields=14 /proc/$pid/stat)" -gt 50 ]; do :; done  # hundredths of a second of work
kill -STOP $pid
echo $pid"""
    pid = training.fleet.lab.ssh("pi", f"sudo timeout 60 sh -c {shlex.quote(catch)}", timeout=120).strip()
    try:
        hung = training.lacking()
        assert float(hung["seconds"]) < HANG + 30
        training.whole()  # another process has the next message
    finally:
        training.fleet.lab.ssh("pi", f"sudo kill -CONT {pid}")
    training.whole()


def test_a_board_that_reboots_joins_again(training: Training) -> None:
    training.faults.reboot("pi")
    training.whole()


def test_a_device_without_memory_costs_its_app_and_not_the_board(training: Training) -> None:
    training.faults.take_memory("pi", 16)
    try:
        training.lacking()
    finally:
        training.faults.give_memory("pi")
    training.whole()


def test_a_device_without_disk_trains_on_or_is_left_out(training: Training) -> None:
    training.faults.fill_disk("pi", 0)
    try:
        training.wait("a round ends", lambda row: row["devices"] in ("1", "2"))
    finally:
        training.faults.free_disk("pi")
    training.whole()


def test_a_cable_that_is_pulled_and_plugged_in_again(training: Training) -> None:
    training.faults.pull("pi")
    try:
        training.lacking()
    finally:
        training.faults.plug("pi")
    training.whole()


def test_a_server_whose_disk_is_full_goes_on_from_the_last_round(training: Training) -> None:
    training.faults.fill_disk("hub", 0)
    try:
        wait_for(lambda: "was cut off" in training.shown.read_text(), "the run is cut off", LIMIT)
    finally:
        training.faults.free_disk("hub")
    training.whole()


def test_no_round_is_missing_in_the_end(training: Training) -> None:
    stopped = training.fleet.play("stop")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    training.playbook.wait(timeout=LIMIT)
    assert "the run stopped" in training.shown.read_text()
    folder, record = latest(training.fleet)
    with (folder / "rounds.csv").open(newline="", encoding="utf-8") as file:
        rounds = [int(row["round"]) for row in csv.DictReader(file)]
    assert rounds == list(range(1, len(rounds) + 1))
    assert len(record["outages"]) == 1
    assert (folder / "report.html").exists()


def test_a_board_with_a_new_card_is_provisioned_again_and_joins(training: Training) -> None:
    fleet, nodes = training.fleet, "sudo cat /var/lib/flowerbed/nodes.json"
    before = json.loads(fleet.lab.ssh("hub", nodes))["pi"]
    training.faults.reflash("pi")
    unknown = fleet.play("run_fl", "rounds=1", "epochs=1", "min_devices=2")
    assert "pi cannot be reached" in unknown.stdout + unknown.stderr  # another host key: SSH refuses
    fleet.lab.write_known_hosts()
    done = fleet.play("provision", timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    after = json.loads(fleet.lab.ssh("hub", nodes))["pi"]
    assert before["node_id"] != after["node_id"]
    listed = fleet.lab.ssh(
        "hub",
        "sudo -u fl env FLWR_HOME=/var/lib/flowerbed/flwr FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1 "
        "/opt/flowerbed/venv/bin/flwr supernode list fleet --format json",
        timeout=120,
    )
    status = {node["node-id"]: node["status"] for node in json.loads(listed)["nodes"]}
    assert status[str(after["node_id"])] != "unregistered"
    assert status.get(str(before["node_id"]), "unregistered") == "unregistered"
    run = fleet.play("run_fl", "rounds=1", "epochs=1", "min_devices=2")
    assert run.returncode == 0, run.stdout + run.stderr
