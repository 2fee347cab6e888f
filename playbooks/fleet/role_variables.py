"""The variables of roles that an inventory sets: numbers, switches and ports are checked before any host is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from ansible.errors import AnsibleUndefinedVariable

from fleet.inventory import Fleet
from fleet.settings import Setting, SettingError

CHECKED = {"int", "bool"}  # of the types that roles describe; texts and paths are anything


def types(project: Path) -> dict[str, str]:
    """Return the roles' variables, and of each its type as its role describes it."""
    found: dict[str, str] = {}
    for path in project.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            found |= {name: option["type"] for name, option in entry.get("options", {}).items()}
    return found


def errors(fleet: Fleet, known: Mapping[str, str], extra: Mapping[str, object]) -> Iterator[str]:
    """Yield a line for each value that its role would refuse later, with some hosts set up already."""
    names = [name for name, kind in known.items() if kind in CHECKED]
    told: set[str] = set()
    for host, variables in fleet.host_variables.items():
        for name in names:
            value = _now(variables, name)
            if value is None:
                continue
            port = (1, 65535) if name.endswith("_port") else (None, None)
            setting = Setting(name, known[name], 0, "", min=port[0], max=port[1])
            try:
                setting.check(value, "extra var" if name in extra else f"inventory, host {host}")
            except SettingError as error:
                if str(error) not in told:
                    told.add(str(error))
                    yield str(error)
    yield from _ports(fleet)


def _ports(fleet: Fleet) -> Iterator[str]:
    """Yield a line for each port that two SuperNodes of this machine were given."""
    holders: dict[str, str] = {}
    for host in fleet.devices:
        port = _now(fleet.host_variables[host], "supernode_port")
        if port is None or host in fleet.remote:
            continue
        if other := holders.get(str(port)):
            yield f"supernode_port={port} is held by {other} and {host} (inventory); allowed: a port for each"
        holders[str(port)] = host


def _now(variables: Mapping[str, object], name: str) -> object:
    """Return a variable's value; None where it has none, or is a template of what is known only later."""
    try:
        return variables.get(name)
    except AnsibleUndefinedVariable:
        return None
