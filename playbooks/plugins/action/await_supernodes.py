"""Wait until the fleet's SuperNodes are online."""

from __future__ import annotations

import json
import os
import shlex
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from fleet import flower
from fleet.terminal import warn

DOCUMENTATION = """
module: await_supernodes
short_description: Wait, for a bounded time, until SuperNodes are online
description:
  - Asks the SuperLink, on the server, until every device of O(devices) is online or O(timeout) is over, and names
    those that are missing. Fewer than O(minimum) are a failure.
  - The SuperLink takes a device that lost its power for online for up to a minute, and refuses its new SuperNode as
    long. A device that came online before its SuperNode was O(started) is therefore missing still.
options:
  devices: {description: Names of the devices., type: list, elements: str, required: true}
  started:
    description: When each device's SuperNode started (seconds since the epoch, by the device's clock), where known.
    type: dict
    default: {}
  minimum: {description: How many must be online., type: int, required: true}
  timeout: {description: Seconds to wait., type: int, required: true}
  venv: {description: The server's virtual environment., type: path, required: true}
  home: {description: The SuperLink's folder., type: path, required: true}
  secure:
    description: Whether nodes are registered. Without registration they have no names and are only counted.
    type: bool
    default: true
attributes:
  check_mode: {support: full, details: does nothing}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Wait for the devices
  await_supernodes:
    devices: [pi4, orin]
    started: {pi4: 1767225600}
    minimum: 2
    timeout: 120
    venv: /opt/flowerbed/venv
    home: /var/lib/flowerbed
"""
RETURN = """
online: {description: Devices that are online., type: list, elements: str, returned: success}
missing: {description: Devices that are not., type: list, elements: str, returned: success}
"""
ARGUMENTS = {
    "devices": {"type": "list", "elements": "str", "required": True},
    "started": {"type": "dict", "default": {}},
    "minimum": {"type": "int", "required": True},
    "timeout": {"type": "int", "required": True},
    "venv": {"type": "path", "required": True},
    "home": {"type": "path", "required": True},
    "secure": {"type": "bool", "default": True},
}
PAUSE = 1.0
TELL_EVERY = 15.0
# Seconds by which a device's clock may be ahead of the SuperLink's before that refuses it (flwr 1.41).
CLOCK_AHEAD = 10.0
NEVER = float("-inf")


class ActionModule(ActionBase):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        devices: list[str] = arguments["devices"]
        if self._task.check_mode:
            return {"changed": False, "online": devices, "missing": []}
        start = told = time.monotonic()
        playbook = os.getppid()  # a worker outlives a playbook that is killed
        while os.getppid() == playbook:
            reason, missing = "", devices
            try:
                missing = self._missing(devices, arguments)
            except flower.FlowerError as error:
                reason = f" ({error})"
            now = time.monotonic()
            if not missing or now - start > arguments["timeout"]:
                break
            if now - told > TELL_EVERY:
                told = now
                Display().display(f"waiting for {', '.join(missing)} to come online{reason}, {now - start:.0f} s")
            time.sleep(PAUSE)
        found = [name for name in devices if name not in missing]
        if len(found) < arguments["minimum"]:
            line = (
                f"{len(found)} of {len(devices)} devices are online after {now - start:.0f} s, "
                f"min_devices={arguments['minimum']}{reason}; missing: {', '.join(missing)} (fab logs says why)"
            )
            return {"failed": True, "msg": line, "user_errors": [line]}
        if missing:
            warn(f"not online: {', '.join(missing)}; the run goes on without, and they may join later")
        return {"changed": False, "online": found, "missing": missing}

    def _missing(self, devices: list[str], arguments: dict[str, Any]) -> list[str]:
        """Names of the devices that are not online."""
        home = arguments["home"]
        command = flower.command(arguments["venv"], f"{home}/flwr", "supernode", "list", "fleet")
        online = flower.online(flower.parse(self._execute(command)))
        if not arguments["secure"]:
            return devices[len(online) :]
        record = json.loads(self._execute(f"cat {shlex.quote(home)}/nodes.json 2>/dev/null || true") or "{}")
        came = {name: online.get(record.get(name, {}).get("node_id"), NEVER) for name in devices}
        return [name for name in devices if came[name] <= arguments["started"].get(name, 0) - CLOCK_AHEAD]

    def _execute(self, command: str) -> str:
        answer = self._low_level_execute_command(command)
        return str(answer["stdout"]) or str(answer["stderr"]) if answer["rc"] else str(answer["stdout"])
