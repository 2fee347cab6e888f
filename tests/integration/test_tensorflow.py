"""A fleet with framework=tensorflow: provisioned, trained on, changed, refused where it mixes the two."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from .conftest import PROJECT, LocalFleet, changed_hosts, latest
from .test_run import rows

ASKED = ("framework=tensorflow", "model=mnist_cnn", "rounds=2", "epochs=1")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFleet]:
    """A fleet of two devices that has TensorFlow; in its own virtual environment, for this one has torch."""
    made = LocalFleet(tmp_path_factory.mktemp("tensorflow"), devices=2)
    try:
        done = made.play("provision", *ASKED)
        assert done.returncode == 0, done.stdout + done.stderr
        yield made
    finally:
        made.end()
        shutil.rmtree(made.folder / "state/tensorflow", ignore_errors=True)  # 1.7 GB


@pytest.fixture(scope="module")
def run(fleet: LocalFleet) -> Path:
    """The folder of a run of two rounds."""
    done = fleet.play("run_fl", *ASKED)
    assert done.returncode == 0, done.stdout + done.stderr
    return latest(fleet)[0]


def test_tensorflow_is_installed_and_torch_is_not(fleet: LocalFleet) -> None:
    site = next((fleet.folder / "state/tensorflow/lib").glob("python3*/site-packages"))
    found = {path.name for path in site.iterdir()}
    assert {"tensorflow", "keras", "flwr"} <= found
    assert not {"torch", "torchvision", "timm"} & found


def test_a_run_leaves_what_every_run_leaves(fleet: LocalFleet, run: Path) -> None:
    rounds, devices = rows(run / "rounds.csv"), rows(run / "devices.csv")
    assert [(row["round"], row["devices"], row["failures"]) for row in rounds] == [("1", "2", "0"), ("2", "2", "0")]
    assert float(rounds[-1]["accuracy"]) > 0.85
    assert {(row["round"], row["cid"]) for row in devices} == {(number, cid) for number in "12" for cid in "01"}
    assert all(float(row["eval_accuracy"]) > 0.5 for row in devices)
    record = latest(fleet)[1]
    assert (record["settings"]["framework"], record["model"]["name"]) == ("tensorflow", "mnist_cnn")
    for host in (record["server"], *record["devices"]):
        assert host["tensorflow"] == "2.21.0"
        assert host["torch"] is None
    assert "tensorflow 2.21.0" in (run / "report.html").read_text()
    first, last = (load_file(run / f"model/round-{number}.safetensors") for number in (0, 2))
    assert first["mnist_cnn/classifier/kernel"].shape == last["mnist_cnn/classifier/kernel"].shape == (400, 10)
    assert any((first[name] != last[name]).any() for name in first)


def test_keras_trains_as_it_should(fleet: LocalFleet) -> None:
    python = fleet.folder / "state/tensorflow/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "pytest"], check=True, capture_output=True)
    done = subprocess.run(
        # The project's own conftest.py is for what this environment lacks.
        [python, "-m", "pytest", "--noconftest", "-p", "no:cacheprovider", "-q", "tests/with_tensorflow"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "fl_app"), "FL_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout


def test_a_fleet_that_has_the_other_or_mixes_the_two_is_refused_by_name(fleet: LocalFleet, run: Path) -> None:
    before = set(fleet.results.glob("*"))
    other = fleet.play("run_fl", "rounds=1")
    assert other.returncode != 0
    assert (
        "framework=torch is not what every host was provisioned with: "
        "hub has tensorflow, device1 has tensorflow, device2 has tensorflow;"
    ) in other.stderr
    done = fleet.play("provision", options=("--limit", "device2"))  # the server takes part
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name for name, count in changed_hosts(done.stdout).items() if count} == {"hub", "device2"}
    mixed = fleet.play("run_fl", *ASKED)
    assert mixed.returncode != 0
    assert "hub has torch, device1 has tensorflow, device2 has torch; allowed: one for all" in mixed.stderr
    assert "Submit the run" not in mixed.stdout
    assert set(fleet.results.glob("*")) == before
