"""Submit a run once the fleet's SuperNodes are online."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from fleet.terminal import warn

DOCUMENTATION = """
module: submit_run
short_description: Submit a run, after a bounded wait until its SuperNodes are online
description:
  - Has M(flwr_run) on the server submit the run where every device of O(devices) is online; waits until they are or
    O(timeout) is over, and names those that are missing. Fewer than O(minimum) are a failure.
  - One task, and one Python on the server that asks and submits, for Flower takes seconds to start on a small board.
options:
  devices: {description: Names of the devices., type: list, elements: str, required: true}
  minimum: {description: How many must be online., type: int, required: true}
  timeout: {description: Seconds to wait., type: int, required: true}
  run: {description: 'Arguments of M(flwr_run), without O(devices) and its state.', type: dict, required: true}
attributes:
  check_mode: {support: full, details: waits for nothing}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Submit the run
  submit_run:
    devices: [pi4, orin]
    minimum: 2
    timeout: 120
    run:
      fab: /var/lib/flowerbed/apps/me.app.1-0-0.1234abcd.fab
      started: {pi4: 1767225600}
      venv: /opt/flowerbed/venv
      home: /var/lib/flowerbed
"""
RETURN = """
run_id: {description: 'Id of the new run, empty in check mode.', type: str, returned: success}
online: {description: Devices that are online., type: list, elements: str, returned: success}
missing: {description: Devices that are not., type: list, elements: str, returned: success}
"""
ARGUMENTS = {
    "devices": {"type": "list", "elements": "str", "required": True},
    "minimum": {"type": "int", "required": True},
    "timeout": {"type": "int", "required": True},
    "run": {"type": "dict", "required": True},
}
PAUSE = 1.0
TELL_EVERY = 15.0


class ActionModule(ActionBase):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        devices: list[str] = arguments["devices"]
        start = told = time.monotonic()
        playbook = os.getppid()  # a worker outlives a playbook that is killed
        result: dict[str, Any] = {"failed": True, "msg": "the playbook was ended"}
        while os.getppid() == playbook:
            result = self._submit(arguments, devices, task_vars)
            if result.get("failed") or not result["missing"]:
                break
            now = time.monotonic()
            missing, reason = result["missing"], f" ({result['reason']})" if result["reason"] else ""
            if now - start > arguments["timeout"]:
                there = len(devices) - len(missing)
                if there < arguments["minimum"]:
                    line = (
                        f"{there} of {len(devices)} devices are online after {now - start:.0f} s, "
                        f"min_devices={arguments['minimum']}{reason}; missing: {', '.join(missing)} (fab logs says why)"
                    )
                    return {"failed": True, "msg": line, "user_errors": [line]}
                warn(f"not online: {', '.join(missing)}; the run goes on without, and they may join later")
                result = self._submit(arguments, [], task_vars) | {"missing": missing}
                break
            if now - told > TELL_EVERY:
                told = now
                Display().display(f"waiting for {', '.join(missing)} to come online{reason}, {now - start:.0f} s")
            time.sleep(PAUSE)
        if not result.get("failed"):
            result["online"] = [name for name in devices if name not in result["missing"]]
        return result

    def _submit(
        self, arguments: dict[str, Any], devices: list[str], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        given = {**arguments["run"], "state": "submitted", "devices": devices}
        result: dict[str, Any] = self._execute_module("flwr_run", given, task_vars=task_vars)
        return result
