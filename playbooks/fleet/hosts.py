"""The fleet's hosts as Ansible itself reads the inventory, for the fabfile: who they are and how to reach them.

Inventory, group and host variables and `playbooks/group_vars` come through Ansible's own InventoryManager,
VariableManager and Templar, so that a host is here what it is in a playbook.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet.settings import SettingError

PROJECT = Path(__file__).resolve().parents[2]
# Ansible reads this when it is imported; what the user has set wins, as it does for ansible-playbook.
os.environ.setdefault("ANSIBLE_CONFIG", str(PROJECT / "ansible.cfg"))


@dataclass(frozen=True)
class Ssh:
    """How a host on another machine is reached."""

    address: str
    user: str | None = None
    port: int | None = None
    key: str | None = None
    password: str | None = field(default=None, repr=False)
    options: tuple[str, ...] = ()  # lines of ssh_config(5)
    check_host_key: bool = True


@dataclass(frozen=True)
class Host:
    """A host of the fleet: what runs on it and where that lies. `ssh` is None for one on this machine."""

    name: str
    service: str  # superlink or supernode
    cid: int | None
    home: str
    venv: str
    user: str
    manager: str  # systemd or supervisor
    ssh: Ssh | None

    @property
    def is_server(self) -> bool:
        """Whether the SuperLink is here."""
        return self.service == "superlink"


def read_hosts(inventory: str = "", limit: str = "") -> list[Host]:
    """Return the server and the devices, in the inventory's order.

    `inventory` is a file or folder, empty for Ansible's default (`ansible.cfg`); `limit` is a pattern as
    ansible-playbook takes it. Raises SettingError for an inventory that cannot be read or has no such hosts.
    """
    from ansible import constants
    from ansible.errors import AnsibleError
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.vars.manager import VariableManager

    sources: Sequence[str] = [inventory] if inventory else constants.DEFAULT_HOST_LIST
    told = ", ".join(sources)
    if missing := [source for source in sources if "," not in source and not Path(source).exists()]:
        raise SettingError(f"inventory={missing[0]} does not exist; allowed: a file or folder of an inventory")
    loader = DataLoader()
    loader.set_basedir(str(PROJECT / "playbooks"))  # where group_vars of the playbooks lie
    try:
        manager = InventoryManager(loader=loader, sources=list(sources))
        variables = VariableManager(loader=loader, inventory=manager)
        manager.subset(limit or None)
        server = {host.name for host in manager.get_hosts("server", ignore_limits=True)}
        found = [
            _host(host.name, host.name in server, variables.get_vars(host=host), loader, constants)
            for host in manager.get_hosts("server:devices")
        ]
    except AnsibleError as error:
        raise SettingError(f"inventory={told} cannot be read: {' '.join(str(error).split())}") from None
    if not found:
        wanted = f"host={limit} names none of the inventory's hosts" if limit else f"inventory={told} has no hosts"
        raise SettingError(f"{wanted}; allowed: hosts of the groups server and devices")
    return found


def _host(name: str, is_server: bool, variables: dict[str, Any], loader: Any, constants: Any) -> Host:
    from ansible.template import Templar

    # No facts are gathered here; the shell on the host finds out whether systemd really is there.
    variables["ansible_facts"] = {"service_mgr": "systemd", **(variables.get("ansible_facts") or {})}
    templar = Templar(loader=loader, variables=variables)

    def value(*names: str) -> Any:
        return next((templar.template(variables[key]) for key in names if key in variables), None)

    def words(*names: str) -> str:
        return str(value(*names) or "")

    local = value("ansible_connection") == "local"
    key = words("ansible_ssh_private_key_file", "ansible_private_key_file")
    given = " ".join(filter(None, (words("ansible_ssh_common_args"), words("ansible_ssh_extra_args"))))
    return Host(
        name=name,
        service="superlink" if is_server else "supernode",
        cid=None if is_server else _cid(name, value("cid"), Path(words("fleet_state"))),
        home=words("fleet_home"),
        venv=words("fleet_venv"),
        user=words("fleet_user"),
        manager=words("fleet_service_manager").strip(),
        ssh=None
        if local
        else Ssh(
            address=words("ansible_host", "ansible_ssh_host") or name,
            user=words("ansible_user", "ansible_ssh_user") or constants.DEFAULT_REMOTE_USER or None,
            port=int(words("ansible_port", "ansible_ssh_port") or 0) or None,
            key=os.path.expanduser(key) or None,
            password=words("ansible_password", "ansible_ssh_pass") or None,
            options=_ssh_options(given),
            check_host_key=bool(constants.HOST_KEY_CHECKING),
        ),
    )


def _cid(name: str, given: object, state: Path) -> int | None:
    """The cid in the inventory, else the one that the playbooks gave, None before the first one ran."""
    if given is not None:
        return int(str(given)) if str(given).isdecimal() else None
    try:
        cid = json.loads((state / "cids.json").read_text(encoding="utf-8")).get(name)
    except (OSError, ValueError, AttributeError):
        return None
    return cid if isinstance(cid, int) else None


def _ssh_options(arguments: str) -> tuple[str, ...]:
    """Return ssh's command line options (`-o Name=value`, `-J host`, `-i key`) as lines of ssh_config(5)."""
    short = {"-J": "ProxyJump", "-i": "IdentityFile", "-p": "Port", "-l": "User"}
    lines, words = [], iter(shlex.split(arguments))
    for word in words:
        option, rest = word[:2], word[2:]
        if option == "-o":
            lines.append(" ".join((rest or next(words, "")).split("=", 1)))
        elif option in short:
            lines.append(f"{short[option]} {rest or next(words, '')}")
    return tuple(lines)
