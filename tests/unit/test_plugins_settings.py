"""The action check_settings, as the playbooks call it: every mistake in one line, and cids that stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unit.driving import ROOT, errors, run_play, write_app

INVENTORY = """
all:
  vars: {ansible_connection: local}
  children:
    server: {hosts: {hub: {}}}
    devices: {hosts: {DEVICES}}
"""


def inventory(**devices: dict[str, Any]) -> str:
    return INVENTORY.replace("{DEVICES}", json.dumps(devices or {"a": {}, "b": {}}))


class Check:
    """Calls check_settings with an inventory and a state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.result = folder, folder / "state", folder / "result.json"
        self.tasks: list[dict[str, Any]] = [
            {
                "name": "Check",
                "check_settings": {"project": str(ROOT), "state": str(self.state)},
                "register": "found",
            },
            {
                "name": "Keep",
                "copy": {"content": "{{ found | to_json }}", "dest": str(self.result), "mode": "0600"},
                "check_mode": False,
                "when": "found is success",
            },
        ]

    def __call__(self, *arguments: str, hosts: str = "") -> dict[str, Any]:
        """Return what it found; the settings are all right."""
        done = run_play(self.folder, self.tasks, *arguments, inventory=hosts or inventory())
        assert errors(done) == []
        assert done.returncode == 0, done.stdout + done.stderr
        content: dict[str, Any] = json.loads(self.result.read_text())
        return content

    def refused(self, *arguments: str, hosts: str = "") -> list[str]:
        """Return the lines that the user sees; the settings are not all right."""
        done = run_play(self.folder, self.tasks, *arguments, inventory=hosts or inventory())
        assert done.returncode != 0
        assert not self.result.exists()
        assert not (self.state / "cids.json").exists()
        return errors(done)

    def keep(self, record: dict[str, Any] | None) -> None:
        """Have a run that can be attached to."""
        if record:
            path = self.state / "runs" / "12.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(record))

    def group_vars(self, content: str) -> Path:
        path = self.folder / "group_vars" / "all.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return path


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return Check(tmp_path)


def test_returns_what_the_playbooks_need(check: Check) -> None:
    found = check("-e", "rounds=3", "-e", "model=net")
    assert found["settings"]["rounds"] == 3  # a number, though -e gave a text
    assert found["run_config"]["batch-size"] == found["settings"]["batch_size"]
    assert (found["cids"], found["server"], found["app"]["name"]) == ({"a": 0, "b": 1}, "hub", "fl-app")
    assert found["changed"]
    assert not check("-e", "rounds=3")["changed"]


def test_the_framework_decides_what_is_installed(check: Check) -> None:
    for framework, there, absent in (("torch", "timm", "keras"), ("tensorflow", "keras", "timm")):
        found = check("-e", f"framework={framework}")
        assert any(name.startswith(there) for name in found["app"]["dependencies"])
        assert absent in found["app"]["unwanted"]
        assert (found["settings"]["framework"], found["run_config"]["framework"]) == (framework, framework)


def test_extra_vars_win_over_group_vars_and_both_are_templates(check: Check) -> None:
    check.group_vars("rounds: 5\nseed: '{{ 40 + 2 }}'\n")
    settings = check("-e", "rounds=7")["settings"]
    assert (settings["rounds"], settings["seed"]) == (7, 42)


def test_a_mistake_is_one_line_and_nothing_is_written(check: Check) -> None:
    given = {
        "rounds": ("abc", "is not allowed; allowed: a whole number from 1"),
        "epochs": ([1], "is not allowed; allowed: a whole number from 1"),
        "model": ("nope", "is not allowed; allowed: "),
        "min_devices": (3, "is not allowed; allowed: up to 2, the devices in the inventory"),
    }
    lines = check.refused("-e", json.dumps({name: value for name, (value, _) in given.items()}), "-e", "round=3")
    assert len(lines) == len(given) + 1
    for name, (value, why) in given.items():
        assert any(line.startswith(f"{name}={value} (extra var) {why}") for line in lines), name
    assert any(line.startswith("round (extra var) is no setting (did you mean rounds?); allowed: ") for line in lines)


ATTACHABLE = {
    "ids": ["12"],
    "started": "",
    "since": "",
    "folder_name": "",
    "settings": {"rounds": 7, "strategy": "FedAdam"},
}


def test_a_run_that_is_attached_to_keeps_its_settings(check: Check) -> None:
    check.keep(ATTACHABLE)
    check.group_vars("rounds: 5\n")
    found = check("-e", "attach=latest")
    assert (found["run_config"]["rounds"], found["run_config"]["strategy"]) == (7, "FedAdam")
    assert found["attached"]["ids"] == ["12"]


def test_every_mistake_is_told_at_once_with_where_it_came_from(check: Check) -> None:
    path = check.group_vars("lr: -1\nmodell: net\n")
    lines = check.refused("-e", "rounds=0", "-e", "alpha=nan", hosts=inventory(a={"cid": 1}, b={"cid": 1}))
    assert sorted(line.split(" ")[0] for line in lines) == ["alpha=nan", "cid=1", "lr=-1", "modell", "rounds=0"]
    assert f"({path})" in next(line for line in lines if line.startswith("lr=-1"))


def test_variables_of_roles_and_of_ansible_are_no_mistakes(check: Check) -> None:
    check.group_vars("superlink_port: 9000\nansible_user: me\nfleet_state: /tmp/x\n")
    check()


def test_devices_keep_their_cids_when_lines_are_added_above(check: Check) -> None:
    check()
    assert check(hosts=inventory(new={}, a={}, b={}))["cids"] == {"new": 2, "a": 0, "b": 1}
    assert json.loads((check.state / "cids.json").read_text()) == {"a": 0, "b": 1, "new": 2}


def test_check_mode_remembers_nothing(check: Check) -> None:
    assert check("--check")["changed"]
    assert not check.state.exists()


def test_an_own_app_has_its_own_settings(check: Check) -> None:
    app = write_app(check.folder / "app")
    found = check("-e", f"app={app}", "-e", "num_server_rounds=5", "-e", "app_config='lr=0.5 label=\"x y\"'")
    assert found["run_config"] == {"num-server-rounds": 5, "lr": 0.5, "shuffle": True, "label": "x y"}
    assert found["app"]["dependencies"] == ["numpy"]


def test_mistakes_in_the_settings_of_an_own_app(check: Check) -> None:
    app = write_app(check.folder / "app")
    lines = check.refused(
        *("-e", f"app={app}", "-e", "rounds=3", "-e", "num_server_rounds=x", "-e", "app_config='momentum=1'")
    )
    starts = ("num_server_rounds=x (extra var)", "rounds (extra var) is no setting", "app_config: momentum (extra var)")
    assert [start for start in starts if not any(line.startswith(start) for line in lines)] == []
    assert len(lines) == 3


def test_group_vars_may_hold_settings_of_the_app_that_ships_while_another_runs(check: Check) -> None:
    check.group_vars("rounds: 3\n")
    check("-e", f"app={write_app(check.folder / 'app')}")


def test_a_host_may_have_a_value_of_its_own(check: Check) -> None:
    hosts = inventory(a={"swap": 512, "headless": "yes"}, b={})
    found = check(hosts=hosts)["hosts"]
    assert (found["a"]["swap"], found["a"]["headless"]) == ("512", True)
    assert (found["b"]["swap"], found["hub"]["swap"], found["b"]["headless"]) == ("auto", "auto", False)
    assert {host: values["swap"] for host, values in check("-e", "swap=0", hosts=hosts)["hosts"].items()} == {
        "hub": "0",
        "a": "0",
        "b": "0",
    }
    check.group_vars("swap: 256\n")
    found = check(hosts=hosts)["hosts"]
    assert (found["a"]["swap"], found["b"]["swap"]) == ("512", "256")


def test_a_hosts_own_value_is_checked(check: Check) -> None:
    lines = check.refused("-e", "swappiness=201", hosts=inventory(a={"swap": "1G"}, b={"governor": "fast"}))
    assert lines == [
        "swappiness=201 (extra var) is not allowed; allowed: a whole number from 0 up to 200",
        "swap=1G (inventory, host a) is not allowed; allowed: auto, or a whole number from 0",
        "governor=fast (inventory, host b) is not allowed; allowed: performance, schedutil, ondemand, conservative, "
        "powersave, keep",
    ]


class TestAPlaybooksOwnTable:
    """benchmark.yml: its settings are extra vars, and those of the same name in the variable file are the runs'."""

    @pytest.fixture
    def own(self, tmp_path: Path) -> Check:
        made = Check(tmp_path)
        made.tasks[0]["check_settings"]["own"] = "benchmark"
        return made

    def test_extra_vars_are_its_own(self, own: Check) -> None:
        own.group_vars("dataset: fashion_mnist\nbatch_size: 64\nrounds: 5\n")
        found = own("-e", "dataset=in_fs", "-e", "batch_size=auto", "-e", "steps=3", "-e", "power_mode=15W")
        assert (found["own"]["dataset"], found["own"]["batch_size"], found["own"]["steps"]) == ("in_fs", "auto", 3)
        assert found["hosts"]["a"]["power_mode"] == "15W"
        assert own()["own"]["dataset"] == "in_memory"
        assert own()["settings"]["dataset"] == "fashion_mnist"

    def test_settings_of_runs_are_none_of_it(self, own: Check) -> None:
        (error,) = own.refused("-e", "rounds=3")
        assert error.startswith("rounds (extra var) is no setting")
        assert " models, " in error
        (error,) = own.refused("-e", "step=3")
        assert "(did you mean steps?)" in error
        (error,) = own.refused("-e", "dataset=mnist")
        assert error == "dataset=mnist (extra var) is not allowed; allowed: in_memory, in_fs"

    def test_its_settings_are_none_of_other_playbooks(self, check: Check) -> None:
        (error,) = check.refused("-e", "steps=3")
        assert error.startswith("steps (extra var) is no setting")
