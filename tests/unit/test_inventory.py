"""fleet.inventory: what makes a fleet of an inventory, and which names its variable files may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleet import role_variables
from fleet.inventory import Fleet, playbook_variables, read_group_vars
from fleet.settings import SettingError
from unit.driving import ROOT

HERE = {"ansible_connection": "local"}


def fleet(servers: dict[str, Any], devices: dict[str, Any]) -> Fleet:
    groups = {"server": list(servers), "devices": list(devices)}
    return Fleet.from_task_vars({"groups": groups, "hostvars": {**servers, **devices}})


def test_a_fleet_on_this_machine_is_one() -> None:
    found = fleet({"s": HERE}, {"a": HERE, "b": {**HERE, "cid": 4}})
    assert found.errors() == []
    assert (found.server, found.devices, found.cids, found.remote) == ("s", ("a", "b"), {"b": 4}, ())


def test_a_fleet_on_other_machines_is_one() -> None:
    assert fleet({"s": {}}, {"a": {}, "b": {}}).errors() == []


@pytest.mark.parametrize(
    ("servers", "devices", "start"),
    [
        ({}, {"a": HERE}, "group server (inventory) has 0 hosts (none); allowed: exactly one"),
        ({"s": HERE, "t": HERE}, {"a": HERE}, "group server (inventory) has 2 hosts (s, t); allowed: exactly one"),
        ({"s": HERE}, {}, "group devices (inventory) has no hosts; allowed: one or more"),
        ({"s": {}}, {"s": {}}, "s (inventory) is in group server and in group devices"),
        ({"s": HERE}, {"a": HERE, "pi": {}}, "superlink_address (inventory, host s) is not set, and pi is on another"),
    ],
)
def test_names_what_makes_it_none(servers: dict[str, Any], devices: dict[str, Any], start: str) -> None:
    (line,) = fleet(servers, devices).errors()
    assert line.startswith(start)
    assert "allowed: " in line


def test_an_address_makes_a_server_here_reachable_for_others() -> None:
    assert fleet({"s": {**HERE, "superlink_address": "192.168.1.10"}}, {"pi": {}}).errors() == []


def test_reads_the_variable_files_beside_an_inventory(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.touch()
    (tmp_path / "group_vars" / "all").mkdir(parents=True)
    (tmp_path / "group_vars" / "all.yml").write_text("rounds: 2\n")
    (tmp_path / "group_vars" / "all" / "more.yml").write_text("# nothing yet\n")
    expected = {"all.yml": {"rounds": 2}, "more.yml": {}}
    for source in (inventory, tmp_path):  # an inventory may be a folder
        assert {Path(path).name: content for path, content in read_group_vars(source)} == expected


@pytest.mark.parametrize("content", ["- rounds\n", "rounds\n", "rounds: [\n", "a: 1\na : {\n"])
def test_a_variable_file_that_holds_no_variables_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text(content)
    with pytest.raises(SettingError) as caught:
        list(read_group_vars(tmp_path))
    assert str(caught.value).startswith(str(tmp_path / "group_vars" / "all.yml"))
    assert "\n" not in str(caught.value)


def test_variables_of_roles_and_playbooks_are_known() -> None:
    known = role_variables.types(ROOT)
    assert (known["superlink_port"], known["supernode_data_path"]) == ("int", "path")
    assert "fleet_home" in playbook_variables(ROOT)
    assert "rounds" not in known


def test_numbers_of_roles_are_checked_once_for_all_hosts() -> None:
    known = {"superlink_port": "int", "base_upgrade": "bool", "fleet_home": "path"}
    host = {**HERE, "superlink_port": 0, "base_upgrade": "no", "fleet_home": "x"}
    found = fleet({"s": host}, {"a": host, "b": HERE})
    (line,) = role_variables.errors(found, known, {"superlink_port": 0})
    assert line == "superlink_port=0 (extra var) is not allowed; allowed: a whole number from 1 up to 65535"
    assert len(list(role_variables.errors(found, known, {}))) == 2
