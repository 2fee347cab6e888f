"""Let one playbook at a time change a fleet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from fleet.holder import HeldError, hold

DOCUMENTATION = """
module: hold_fleet
short_description: Let one playbook at a time change a fleet
description:
  - Notes in O(file) that this playbook works on the fleet. It counts until the playbook has ended, in whatever way.
  - Fails where another one does, and names it.
options:
  file: {description: The note, on the controller., type: path, required: true}
  playbook: {description: What to call this playbook., type: str, required: true}
attributes:
  check_mode: {support: full, details: looks at nothing and notes nothing}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Hold the fleet
  hold_fleet: {file: .fleet/holder.json, playbook: run_fl.yml}
"""
RETURN = """
user_errors: {description: Who holds it., type: list, elements: str, returned: failure}
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {"file": {"type": "path", "required": True}, "playbook": {"type": "str", "required": True}}
        )
        if self._task.check_mode:
            return {"changed": False}
        try:
            hold(Path(arguments["file"]), os.getppid(), arguments["playbook"])  # this is a worker of the playbook
        except HeldError as error:
            return {"failed": True, "msg": str(error), "user_errors": [str(error)]}
        return {"changed": False}
