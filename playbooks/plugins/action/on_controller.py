"""Run a command on the controller, without the start of a module."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from ansible.plugins.action import ActionBase

DOCUMENTATION = """
module: on_controller
short_description: Run a command on the controller
description:
  - What C(ansible.builtin.command) delegated to localhost does, without packing, starting and removing a module, which
    takes as long as many of these commands.
options:
  argv: {description: The command., type: list, elements: str, required: true}
  stdin: {description: What it reads., type: str, default: ""}
  environment: {description: Variables beside the playbook's own., type: dict, default: {}}
attributes:
  check_mode: {support: full, details: 'does nothing, unless the task has check_mode: false'}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Make the report
  on_controller: {argv: ["{{ ansible_playbook_python }}", -m, fleet.report, results/latest]}
"""
RETURN = """
rc: {description: Its exit status., type: int, returned: when it ran}
stdout: {description: What it printed., type: str, returned: when it ran}
stderr: {description: What it printed on stderr., type: str, returned: when it ran}
"""
ARGUMENTS = {
    "argv": {"type": "list", "elements": "str", "required": True},
    "stdin": {"type": "str", "default": ""},
    "environment": {"type": "dict", "default": {}},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        if self._task.check_mode:
            return {"changed": False, "skipped": True}
        environment = {**os.environ, **{name: str(value) for name, value in arguments["environment"].items()}}
        try:
            done = subprocess.run(
                arguments["argv"],
                input=arguments["stdin"].encode(),
                env=environment,
                capture_output=True,
                check=False,
            )
        except OSError as error:
            return {"failed": True, "rc": 127, "stdout": "", "stderr": str(error), "msg": str(error)}
        stdout, stderr = (text.decode(errors="replace").rstrip("\n") for text in (done.stdout, done.stderr))
        result = {"changed": True, "rc": done.returncode, "stdout": stdout, "stderr": stderr}
        if done.returncode:
            result |= {"failed": True, "msg": f"{arguments['argv'][0]} ended with {done.returncode}: {stderr}"}
        return result
