"""fleet.hosts: the fleet as Ansible reads the inventory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet.hosts import read_hosts
from fleet.settings import SettingError

INVENTORY = """
all:
  children:
    server:
      hosts:
        hub: {ansible_connection: local, fleet_state: STATE}
    devices:
      children:
        here: {hosts: {a: {ansible_connection: local, fleet_state: STATE}}}
        pis:
          hosts:
            pi4: {ansible_host: 192.0.2.4, ansible_port: 2222, cid: 7}
            pi5: {fleet_venv: /opt/other}
          vars:
            ansible_user: "{{ 'p' + 'i' }}"
            ansible_ssh_private_key_file: ~/.ssh/fleet
            ansible_ssh_common_args: -o UserKnownHostsFile="KNOWN" -oStrictHostKeyChecking=yes -J jump -C
"""


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "cids.json").write_text(json.dumps({"a": 3, "pi4": 1}))
    path = tmp_path / "hosts.yml"
    path.write_text(INVENTORY.replace("STATE", str(tmp_path / "state")).replace("KNOWN", str(tmp_path / "known hosts")))
    return str(path)


def test_reads_hosts_as_the_playbooks_do(inventory: str, tmp_path: Path) -> None:
    hub, here, pi4, pi5 = read_hosts(inventory)
    assert [host.name for host in (hub, here, pi4, pi5)] == ["hub", "a", "pi4", "pi5"]
    assert (hub.service, hub.ssh, hub.cid, hub.home) == ("superlink", None, None, str(tmp_path / "state" / "hub"))
    assert (here.service, here.ssh, here.cid, here.manager) == ("supernode", None, 3, "supervisor")
    assert (pi4.home, pi4.venv, pi4.user) == ("/var/lib/flowerbed", "/opt/flowerbed/venv", "fl")
    assert (pi4.manager, pi4.cid) == ("systemd", 7)  # the inventory's cid wins
    assert (pi5.venv, pi5.cid) == ("/opt/other", None)


def test_reads_how_a_host_is_reached(inventory: str, tmp_path: Path) -> None:
    _, _, pi4, pi5 = read_hosts(inventory)
    assert pi4.ssh is not None
    assert pi5.ssh is not None
    assert (pi4.ssh.address, pi4.ssh.user, pi4.ssh.port) == ("192.0.2.4", "pi", 2222)
    assert pi4.ssh.key == str(Path("~/.ssh/fleet").expanduser())
    assert pi4.ssh.options == (
        f"UserKnownHostsFile {tmp_path / 'known hosts'}",
        "StrictHostKeyChecking yes",
        "ProxyJump jump",
    )
    assert (pi5.ssh.address, pi5.ssh.port) == ("pi5", None)


@pytest.mark.parametrize(("limit", "names"), [("a", ["a"]), ("pis", ["pi4", "pi5"]), ("pi*:!pi5", ["pi4"])])
def test_a_pattern_limits_the_hosts_and_none_forgets_who_is_server(
    inventory: str, limit: str, names: list[str]
) -> None:
    found = read_hosts(inventory, limit)
    assert [host.name for host in found] == names
    assert {host.service for host in found} == {"supernode"}


def test_the_default_is_the_projects_inventory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"localserver", "device1"} <= {host.name for host in read_hosts()}


def test_names_what_cannot_be_read(inventory: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="host=nobody names none of the inventory's hosts"):
        read_hosts(inventory, "nobody")
    with pytest.raises(SettingError, match=r"inventory=/no\.yml does not exist"):
        read_hosts("/no.yml")
    (tmp_path / "empty.yml").write_text("all: {hosts: {}}\n")
    with pytest.raises(SettingError, match="has no hosts"):
        read_hosts(str(tmp_path / "empty.yml"))
    Path(inventory).write_text(INVENTORY.replace("{{ 'p' + 'i' }}", "{{ nobody_knows }}"))
    with pytest.raises(SettingError) as caught:
        read_hosts(inventory)
    assert "nobody_knows" in str(caught.value)
    assert "\n" not in str(caught.value)
