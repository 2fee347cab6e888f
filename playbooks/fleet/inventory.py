"""The fleet as the inventory describes it, and the variable files beside the inventory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fleet.settings import SettingError


@dataclass(frozen=True)
class Fleet:
    """Who is the server, who trains, which cids the inventory asks for, and which devices are elsewhere."""

    servers: tuple[str, ...]
    devices: tuple[str, ...]
    cids: dict[str, object]
    remote: tuple[str, ...]
    server_is_here: bool
    # Not copied: what else an inventory says may be a template that has no value yet.
    variables: Mapping[str, object]  # the server's, among which are those that the inventory gives to all
    host_variables: dict[str, Mapping[str, object]]  # each host's
    sources: tuple[Path, ...] = ()

    @classmethod
    def from_task_vars(cls, variables: Mapping[str, Any]) -> Fleet:
        """Read the fleet out of what Ansible gives to a task."""
        groups, hostvars = variables["groups"], variables["hostvars"]
        servers, devices = tuple(groups.get("server", ())), tuple(groups.get("devices", ()))
        local = {host for host in (*servers, *devices) if hostvars[host].get("ansible_connection") == "local"}
        return cls(
            servers=servers,
            devices=devices,
            cids={host: hostvars[host]["cid"] for host in devices if "cid" in hostvars[host]},
            remote=tuple(host for host in devices if host not in local),
            variables=hostvars[servers[0]] if servers else {},
            host_variables={host: hostvars[host] for host in (*servers, *devices)},
            server_is_here=any(host in local and "superlink_address" not in hostvars[host] for host in servers),
            sources=tuple(Path(source) for source in variables.get("ansible_inventory_sources") or ()),
        )

    @property
    def server(self) -> str:
        """The one host of the group `server`."""
        return self.servers[0]

    def errors(self) -> list[str]:
        """Return a line for each thing that makes this no fleet."""
        if not self.host_variables and (unread := list(_unread(self.sources))):
            return unread  # Ansible goes on with an inventory without hosts
        found = []
        if len(self.servers) != 1:
            names = ", ".join(self.servers) or "none"
            found.append(f"group server (inventory) has {len(self.servers)} hosts ({names}); allowed: exactly one")
        for host in sorted(set(self.servers) & set(self.devices)):
            found.append(
                f"{host} (inventory) is in group server and in group devices; allowed: one of them "
                "(a machine that is both has two names with the same ansible_host)"
            )
        if not self.devices:
            found.append("group devices (inventory) has no hosts; allowed: one or more")
        if self.remote and self.server_is_here:
            found.append(
                f"superlink_address (inventory, host {self.server}) is not set, and {self.remote[0]} is on another "
                "machine; allowed: the address at which the devices reach this one"
            )
        return found


def _unread(sources: Iterable[Path]) -> Iterator[str]:
    """Yield a line for each inventory that cannot be read."""
    for path in sources:
        if not path.exists():
            yield f"inventory {path} is not there; allowed: a file or folder with the groups server and devices"
        elif path.is_file() and path.suffix in (".yml", ".yaml"):
            try:
                content = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                yield f"inventory {path} cannot be read: {' '.join(str(error).split())}"
                continue
            if not isinstance(content, dict):
                held = "nothing" if content is None else f"a {type(content).__name__}"
                yield f"inventory {path} holds {held}; allowed: all: with the groups server and devices"


def read_group_vars(inventory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each file of variables for the group `all` of an inventory (a file or a folder), with its content."""
    folder = (inventory if inventory.is_dir() else inventory.parent) / "group_vars"
    for path in (folder / "all.yml", folder / "all.yaml", *sorted(folder.glob("all/*.y*ml"))):
        if path.is_file():
            try:
                content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise SettingError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
            if not isinstance(content, dict):
                raise SettingError(f"{path} holds a {type(content).__name__}; allowed: lines of `name: value`")
            yield str(path), content


def playbook_variables(project: Path) -> set[str]:
    """Return the names that the playbooks define for all hosts."""
    return set(yaml.safe_load((project / "playbooks/group_vars/all.yml").read_text(encoding="utf-8")))
