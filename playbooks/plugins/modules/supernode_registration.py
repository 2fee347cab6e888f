"""The SuperNode keys that a SuperLink lets in."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: supernode_registration
short_description: Register the keys of SuperNodes with the SuperLink
description:
  - Registers each key that is missing, and takes back the one that a device had before (one that was flashed anew).
  - Flower lists nodes without names or keys, so the pairing of device, key and node is kept in O(record) on the server.
options:
  nodes: {description: 'A map of device name to public key in OpenSSH format.', type: dict, required: true}
  flwr: {description: Path of the command flwr., type: path, required: true}
  flwr_home: {description: FLWR_HOME with the connection named fleet., type: path, required: true}
  record: {description: File of the record., type: path, required: true}
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
"""
RETURN = """
registered: {description: Devices whose key was registered., type: list, elements: str, returned: always}
unregistered:
  description: Devices whose earlier key was taken back.
  type: list
  elements: str
  returned: always
"""


class Registry:
    """The SuperLink's registrations, through Flower's own command."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        module.run_command_environ_update = {
            "FLWR_HOME": module.params["flwr_home"],
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
        }

    def call(self, verb: str, *arguments: str) -> dict[str, Any]:
        """Run `flwr supernode VERB`.

        Ends the module when Flower reports a fault, which it does with exit status 0 and in its JSON.
        """
        command = [self.module.params["flwr"], "supernode", verb, *arguments, "--format", "json"]
        _, out, err = self.module.run_command(command)
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError:
            answer = {"success": False, "error-message": (err or out).strip()}
        if not answer.get("success"):
            reason = str(answer.get("error-message", "")).strip().splitlines() or ["no reason given"]
            self.module.fail_json(msg=f"flwr supernode {verb} failed: {reason[-1]}")
        return answer

    def node_ids(self) -> set[str]:
        """Return the ids of all nodes that count now."""
        nodes = self.call("list", "fleet")["nodes"]
        return {str(node["node-id"]) for node in nodes if node["status"] != "unregistered"}


def read_record(path: str) -> dict[str, dict[str, str]]:
    """Return the record: device name to its key and node id."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return dict(json.load(file))


def write_record(path: str, record: dict[str, dict[str, str]]) -> None:
    """Write the record, whole or not at all."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1, sort_keys=True)
    os.replace(f"{path}.new", path)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "nodes": {"type": "dict", "required": True},
            "flwr": {"type": "path", "required": True},
            "flwr_home": {"type": "path", "required": True},
            "record": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    nodes, path = module.params["nodes"], module.params["record"]
    before = read_record(path)
    # In check mode the first provisioning has not made the connection yet.
    if module.check_mode and not os.path.exists(f"{module.params['flwr_home']}/config.toml"):
        module.exit_json(changed=True, registered=sorted(nodes), unregistered=[])
    registry = Registry(module)
    known = registry.node_ids()
    record = {name: entry for name, entry in before.items() if entry["node_id"] in known}
    replaced = sorted(name for name in record if name in nodes and record[name]["key"] != nodes[name].strip())
    missing = sorted(name for name in nodes if name not in record or name in replaced)
    if not module.check_mode:
        for name in replaced:
            registry.call("unregister", record.pop(name)["node_id"], "fleet")
            write_record(path, record)
        for name in missing:
            public = os.path.join(module.tmpdir, f"{name}.pub")
            with open(public, "w", encoding="utf-8") as file:
                file.write(nodes[name])
            answer = registry.call("register", public, "fleet", "--name", name)
            record[name] = {"key": nodes[name].strip(), "node_id": str(answer["node-id"])}
            write_record(path, record)
    module.exit_json(
        changed=bool(missing or replaced),
        registered=missing,
        unregistered=replaced,
        diff={
            "before": "".join(f"{name}\n" for name in sorted(before)),
            "after": "".join(f"{name}\n" for name in sorted({*before, *nodes})),
        },
    )


if __name__ == "__main__":
    main()
