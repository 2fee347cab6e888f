"""End the play with plain lines for the user."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

DOCUMENTATION = """
module: refuse
short_description: Stop with one plain line for each mistake of the user's
description: Like C(ansible.builtin.fail), but shown as C(ERROR) lines without the task's inside.
options:
  lines: {description: The lines., type: list, elements: str, required: true}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Stop
  refuse: {lines: ["pi4 is not provisioned; run: ansible-playbook playbooks/provision.yml"]}
"""
RETURN = """
user_errors: {description: The lines., type: list, elements: str, returned: always}
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec({"lines": {"type": "list", "elements": "str", "required": True}})
        return {"failed": True, "msg": "\n".join(arguments["lines"]), "user_errors": arguments["lines"]}
