"""What clients need to reach a lab: an Ansible inventory, and a configuration for ssh."""

from __future__ import annotations

import os
from typing import Any

import yaml

from .fleet import Fleet
from .kind import DEVICE_TREE
from .names import REPOSITORY, Names

STATIC = REPOSITORY / "inventory" / "lab.yml"
KEY = "id_ed25519"
SSH_CONFIG = "ssh_config"
KNOWN_HOSTS = "known_hosts"
# A socket's path has 107 bytes: Ansible's own part of it, and what ssh adds until it listens there.
LONGEST_CONTROL = 107 - len("/0123456789") - len(".0123456789abcdef")
DEFAULT_CONTROL = "~/.ansible/cp"
HEAD = """\
# The lab's default fleet (`make lab`), made by `python tests/lab inventory > inventory/lab.yml`.
# Another fleet, name or subnet has its own in .lab/NAME/inventory.yml.
"""


def inventory(names: Names, fleet: Fleet, lab_folder: str, control: str) -> dict[str, Any]:
    """Return an inventory with the groups of the default one: server, and devices with its children.

    Args:
        names: the lab's names.
        fleet: its hosts.
        lab_folder: the lab's folder as Ansible shall find it, a path or a template.
        control: the folder of the connections that Ansible keeps, likewise.
    """
    groups: dict[str, dict[str, Any]] = {"server": {}, "raspberry_pis": {}, "jetsons": {}}
    for index, host in enumerate(fleet.hosts):
        variables: dict[str, Any] = {"ansible_host": names.address(index), "ansible_user": host.kind.user}
        if host.kind.model and host.machine == "container":
            variables["fleet_device_tree"] = DEVICE_TREE
        if host.kind.group == "jetsons" and not host.docker:
            variables["jetson_runtime"] = "cpu"  # there is no GPU
        groups[host.kind.group][host.name] = variables
    boards = {name: {"hosts": groups[name]} for name in ("raspberry_pis", "jetsons")}
    options = f'-o UserKnownHostsFile="{lab_folder}/{KNOWN_HOSTS}" -o GlobalKnownHostsFile=/dev/null'
    lab = {
        "vars": {
            "ansible_ssh_private_key_file": f"{lab_folder}/{KEY}",
            "ansible_ssh_common_args": f"{options} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes",
            "ansible_control_path_dir": control,
            "ansible_python_interpreter": "/usr/bin/python3",
        },
        "children": {
            "server": {"hosts": groups["server"]},
            "devices": {"children": boards},
        },
    }
    # A group of their own: what stands beside `all` is the controller's too, which knows no inventory_dir.
    return {"all": {"children": {"lab": lab}}}


def static(names: Names, fleet: Fleet) -> str:
    """Return the text of the committed inventory of the default lab, which finds its folder from its own."""
    place = f"/../.lab/{names.lab}"
    own = f"{place}/{names.connections.name}"
    longest = LONGEST_CONTROL - len(own) + len("/inventory/..")
    control = f"{{{{ inventory_dir ~ '{own}' if inventory_dir | length <= {longest} else '{DEFAULT_CONTROL}' }}}}"
    return HEAD + _yaml(inventory(names, fleet, f"{{{{ inventory_dir }}}}{place}", control))


def control_folder(names: Names) -> str:
    """Return where Ansible shall keep connections: in the lab's folder, unless its path is too long for a socket."""
    path = str(names.connections)
    return path if len(os.fsencode(path)) <= LONGEST_CONTROL else DEFAULT_CONTROL


def _yaml(data: dict[str, Any]) -> str:
    return "---\n" + yaml.safe_dump(data, sort_keys=False, width=90)


def write(names: Names, fleet: Fleet) -> None:
    """Write inventory.yml and ssh_config into the lab's folder."""
    text = _yaml(inventory(names, fleet, str(names.folder), control_folder(names)))
    (names.folder / "inventory.yml").write_text(text, encoding="utf-8")
    variables = names.folder / "group_vars"  # Ansible looks for them beside the inventory
    if not variables.is_symlink():
        variables.symlink_to(REPOSITORY / "inventory" / "group_vars")
    (names.folder / SSH_CONFIG).write_text(ssh_config(names, fleet), encoding="utf-8")


def ssh_config(names: Names, fleet: Fleet) -> str:
    """Return a configuration with which `ssh -F` reaches each host by its name."""
    blocks = [
        f"Host {host.name}\n  HostName {names.address(index)}\n  User {host.kind.user}\n"
        for index, host in enumerate(fleet.hosts)
    ]
    common = {
        "IdentityFile": f'"{names.folder / KEY}"',
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": f'"{names.folder / KNOWN_HOSTS}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": "5",
        "BatchMode": "yes",
    }
    return "".join(blocks) + "Host *\n" + "".join(f"  {name} {value}\n" for name, value in common.items())
