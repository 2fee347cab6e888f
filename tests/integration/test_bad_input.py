"""A user's mistake is one clear line, before any host is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from fleet.holder import hold

from .conftest import LocalFleet

WHOLE = "allowed: a whole number from 1"


def write_app(folder: Path, pyproject: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(pyproject)
    return folder


@pytest.fixture
def untouched(tmp_path: Path) -> LocalFleet:
    """A fleet that was never provisioned: whatever a test starts on it would be seen."""
    return LocalFleet(tmp_path, devices=2)


def refusal(fleet: LocalFleet, *settings: str, playbook: str = "run_fl") -> str:
    """Run a playbook that is to refuse; return its lines of error."""
    done = fleet.play(playbook, *settings)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "fatal:" not in done.stdout
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    assert errors, done.stdout + done.stderr
    assert not fleet.processes()
    assert not list((fleet.folder / "state").glob("*/supervisor"))
    assert not fleet.results.exists()
    return "\n".join(errors)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["rounds=0"], f"ERROR: rounds=0 (extra var) is not allowed; {WHOLE}"),
        (["rounds=abc"], f"ERROR: rounds=abc (extra var) is not allowed; {WHOLE}"),
        (["rounds=2.5"], f"ERROR: rounds=2.5 (extra var) is not allowed; {WHOLE}"),
        (["rounds=-1"], f"ERROR: rounds=-1 (extra var) is not allowed; {WHOLE}"),
        (["rounds="], f"ERROR: rounds= (extra var) is not allowed; {WHOLE}"),
        (["model=nope"], "ERROR: model=nope (extra var) is not allowed; allowed: net, lenet5, mnist_cnn"),
        (["dataset=mnist5"], "is not allowed (did you mean mnist5k?); allowed: mnist5k, "),
        (["roundz=3"], "ERROR: roundz (extra var) is no setting (did you mean rounds?); allowed: "),
        (["min_devices=3"], "ERROR: min_devices=3 (extra var) is not allowed; allowed: up to 2, the devices in"),
        (["lr=nan"], "ERROR: lr=nan (extra var) is not allowed; allowed: a number above 0"),
        (["lr=inf"], "ERROR: lr=inf (extra var) is not allowed"),
        (["fraction_train=0"], "ERROR: fraction_train=0 (extra var) is not allowed; allowed: a number above 0 up to 1"),
        (["fraction_evaluate=1.1"], "allowed: a number from 0 up to 1"),
        (["strategy=FedXgbBagging"], "ERROR: strategy=FedXgbBagging (extra var) is not allowed; allowed: FedAvg, "),
        (["strategy_config='mu=1'"], "is no parameter of FedAvg"),
        (["partitioner=random"], "allowed: iid, dirichlet, shard, pathological"),
        (["batch_size=5000"], "batch_size=5000"),
        (["insecure=maybe"], "ERROR: insecure=maybe (extra var) is not allowed; allowed: true, false"),
        (["resume=nowhere"], "ERROR: resume=nowhere (extra var): there is no folder"),
        (
            ["app=/nowhere"],
            "ERROR: app=/nowhere (extra var) has no pyproject.toml; allowed: a folder with a Flower app",
        ),
        (["app_config=novalue"], "ERROR: app_config=novalue (extra var) cannot be read; allowed: key=value pairs"),
        (["app_config='nokey=1'"], "ERROR: app_config: nokey (extra var) is no setting"),
        (["dataset=mnist", "data_folder=/nowhere"], "/nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_settings(untouched: LocalFleet, given: list[str], said: str) -> None:
    errors = refusal(untouched, *given)
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_every_mistake_is_named_at_once(untouched: LocalFleet) -> None:
    assert len(refusal(untouched, "rounds=0", "lr=x", "colour=red").splitlines()) == 3


def test_provision_refuses_as_well(untouched: LocalFleet) -> None:
    assert "rounds=0" in refusal(untouched, "rounds=0", playbook="provision")


def test_a_user_of_the_apps_own_takes_root(untouched: LocalFleet) -> None:
    errors = refusal(untouched, "isolation=process", playbook="provision")
    assert "device1: isolation=process is not allowed on a host without root; allowed there: auto, subprocess" in errors


@pytest.mark.parametrize(
    ("pyproject", "said"),
    [
        ("[project", "has a pyproject.toml that cannot be read"),
        ("[project]\nname = 'x'\nversion = '1'\n", "has no [tool.flwr.app.components]"),
        (
            "[project]\nname = 'x'\nversion = '1'\n[tool.flwr.app.components]\n"
            "serverapp = 'x.server:app'\nclientapp = 'x.client:app'\n",
            "publisher",
        ),
    ],
    ids=["broken", "no app", "no publisher"],
)
def test_apps(untouched: LocalFleet, tmp_path: Path, pyproject: str, said: str) -> None:
    assert said in refusal(untouched, f"app={write_app(tmp_path / 'app', pyproject)}")


def test_a_setting_that_the_app_does_not_have(untouched: LocalFleet) -> None:
    app = Path(__file__).parent / "foreign_app"
    assert "ERROR: rounds (extra var) is no setting" in refusal(untouched, f"app={app}", "rounds=3")
    assert "cannot resume" in refusal(untouched, f"app={app}", "resume=latest")


@pytest.mark.parametrize(
    ("host_vars", "said"),
    [
        (
            {"device1": {"cid": 1}, "device2": {"cid": 1}},
            "cid=1 is held by device1 (inventory) and device2 (inventory); allowed: a cid for each device",
        ),
        ({"device1": {"cid": -1}}, "cid=-1 (inventory, host device1) is not allowed; allowed: a whole number from 0"),
        ({"device1": {"cid": "one"}}, "cid=one (inventory, host device1) is not allowed"),
        (
            {"device1": {"ansible_connection": "ssh"}},
            "superlink_address (inventory, host hub) is not set, and device1 is on another machine",
        ),
    ],
    ids=["equal cids", "negative cid", "cid of letters", "no address"],
)
def test_inventories(tmp_path: Path, host_vars: dict[str, dict[str, object]], said: str) -> None:
    assert said in refusal(LocalFleet(tmp_path, devices=2, host_vars=host_vars))


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"devices": {"hosts": {"a": None}}}, "group server (inventory) has 0 hosts (none); allowed: exactly one"),
        ({"server": {"hosts": {"a": None, "b": None}}}, "group server (inventory) has 2 hosts (a, b)"),
        ({"server": {"hosts": {"a": None}}}, "group devices (inventory) has no hosts; allowed: one or more"),
    ],
    ids=["no server", "two servers", "no devices"],
)
def test_groups(untouched: LocalFleet, groups: dict[str, object], said: str) -> None:
    untouched.inventory.write_text(yaml.safe_dump({"all": {"children": groups}}))
    assert said in refusal(untouched)


def test_group_vars_are_checked_and_named(untouched: LocalFleet) -> None:
    path = untouched.inventory.parent / "group_vars/all.yml"
    path.parent.mkdir()
    path.write_text("rounds: none\nmodle: net\n")
    errors = refusal(untouched)
    assert f"rounds=none ({path}) is not allowed" in errors
    assert f"modle ({path}) is no setting (did you mean model?)" in errors


@pytest.mark.parametrize("given", ["nobody", "device1,nobody", "hub", ""])
def test_only_devices_are_taken_out(untouched: LocalFleet, given: str) -> None:
    said = refusal(untouched, f"device={given}", playbook="remove_device")
    assert f"device={given} is not allowed; allowed: names of devices, with commas between them: device1" in said


@pytest.mark.parametrize("playbook", ["provision", "run_fl"])
def test_a_second_playbook_is_told_who_holds_the_fleet(untouched: LocalFleet, playbook: str) -> None:
    hold(untouched.folder / "state/holder.json", os.getpid(), "run_fl.yml")
    said = refusal(untouched, playbook=playbook)
    assert "the fleet is held by run_fl.yml, which " in said
    assert f"(process {os.getpid()}); allowed: one playbook at a time" in said


def test_a_fleet_that_is_not_provisioned_says_so(untouched: LocalFleet) -> None:
    done = untouched.play("run_fl", "rounds=1")
    assert done.returncode != 0
    assert "is not provisioned" in done.stderr
    assert "ansible-playbook playbooks/provision.yml" in done.stderr
    assert not untouched.processes()
