"""The SuperNode keys that a SuperLink lets in."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.flower_command import Flower, FlowerError

DOCUMENTATION = """
module: supernode_registration
short_description: Register the keys of SuperNodes with the SuperLink
description:
  - Registers each key that is missing, and takes back the one that a device had before (one that was flashed anew).
  - Flower lists nodes without names or keys, so the pairing of device, key and node is kept in O(record) on the server.
  - Takes out the devices of O(absent). Their keys are noted in O(revoked), and never let in again.
options:
  nodes: {description: 'A map of device name to public key in OpenSSH format.', type: dict, default: {}}
  absent: {description: Devices that are to be registered no longer., type: list, elements: str, default: []}
  flwr: {description: Path of the command flwr., type: path, required: true}
  flwr_home: {description: FLWR_HOME with the connection named fleet., type: path, required: true}
  record: {description: File of the record., type: path, required: true}
  revoked: {description: File of the keys that were taken out., type: path, required: true}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""
EXAMPLES = """
- name: Let the devices in
  supernode_registration:
    nodes: {pi4: "ecdsa-sha2-nistp384 AAAA…"}
    flwr: /opt/flowerbed/venv/bin/flwr
    flwr_home: /var/lib/flowerbed/flwr
    record: /var/lib/flowerbed/nodes.json
    revoked: /var/lib/flowerbed/revoked.json
"""
RETURN = """
registered: {description: Devices whose key was registered., type: list, elements: str, returned: always}
unregistered:
  description: Devices whose key was taken back.
  type: list
  elements: str
  returned: always
"""


class RegistrationError(Exception):
    """The fleet cannot be brought to what is asked for, and why."""


class Registry:
    """The SuperLink's registrations, through Flower's own command."""

    def __init__(self, module: AnsibleModule) -> None:
        self._flower = Flower(module.params["flwr"], module.params["flwr_home"], module.tmpdir)

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self._flower.end()

    def call(self, verb: str, *arguments: str) -> dict[str, Any]:
        """Run `flwr supernode VERB`; raises RegistrationError where Flower reports a fault."""
        try:
            answer: dict[str, Any] = self._flower.call("supernode", verb, *arguments)
            return answer
        except FlowerError as fault:
            raise RegistrationError(f"flwr supernode {verb} failed: {fault}") from fault

    def node_ids(self) -> set[str]:
        """Return the ids of all nodes that count now."""
        nodes = self.call("list", "fleet")["nodes"]
        return {str(node["node-id"]) for node in nodes if node["status"] != "unregistered"}


def read_record(path: str) -> dict[str, Any]:
    """Return a record, which maps a device's name to what is known of it."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return dict(json.load(file))


def write_record(path: str, record: dict[str, Any]) -> None:
    """Write the record, whole or not at all."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1, sort_keys=True)
    os.replace(f"{path}.new", path)


def register(module: AnsibleModule) -> dict[str, Any]:
    """Bring the registrations to what is asked for and return the module's result."""
    wanted = {name: key.strip() for name, key in module.params["nodes"].items()}
    path, before = module.params["record"], read_record(module.params["record"])
    revoked = read_record(module.params["revoked"])
    if came_back := sorted(name for name, key in wanted.items() if any(key in keys for keys in revoked.values())):
        raise RegistrationError(
            f"{came_back[0]} has a key that was taken out of the fleet; allowed: a new one, which provision.yml makes "
            "once keys/supernode is removed in its folder"
        )
    # In check mode the first provisioning has not made the connection yet.
    if module.check_mode and not os.path.exists(f"{module.params['flwr_home']}/config.toml"):
        return {"changed": True, "registered": sorted(wanted), "unregistered": []}
    with Registry(module) as registry:
        try:
            known = registry.node_ids()
        except RegistrationError:
            if not module.check_mode:
                raise
            known = {entry["node_id"] for entry in before.values()}  # a SuperLink that is down would know as many
        record = {name: entry for name, entry in before.items() if entry["node_id"] in known}
        replaced = sorted(name for name in record if name in wanted and record[name]["key"] != wanted[name])
        missing = sorted(name for name in wanted if name not in record or name in replaced)
        leaving = sorted(name for name in record if name in module.params["absent"])
        if not module.check_mode:
            for name in leaving:
                revoked.setdefault(name, []).append(record[name]["key"])
                write_record(module.params["revoked"], revoked)
            for name in (*replaced, *leaving):
                registry.call("unregister", record.pop(name)["node_id"], "fleet")
                write_record(path, record)
            for name in missing:
                public = os.path.join(module.tmpdir, f"{name}.pub")
                with open(public, "w", encoding="utf-8") as file:
                    file.write(wanted[name])
                answer = registry.call("register", public, "fleet", "--name", name)
                record[name] = {"key": wanted[name], "node_id": str(answer["node-id"])}
                write_record(path, record)
    return {
        "changed": bool(missing or replaced or leaving),
        "registered": missing,
        "unregistered": sorted({*replaced, *leaving}),
        "diff": {
            "before": "".join(f"{name}\n" for name in sorted(before)),
            "after": "".join(f"{name}\n" for name in sorted({*before, *wanted} - {*leaving})),
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "nodes": {"type": "dict", "default": {}},
            "absent": {"type": "list", "elements": "str", "default": []},
            "flwr": {"type": "path", "required": True},
            "flwr_home": {"type": "path", "required": True},
            "record": {"type": "path", "required": True},
            "revoked": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**register(module))
    except RegistrationError as fault:
        module.fail_json(msg=str(fault))


if __name__ == "__main__":
    main()
