"""Take facts that were found for another name of the same machine."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

DOCUMENTATION = """
module: same_facts
short_description: Take facts that were found for another name of the same machine
options:
  facts: {description: 'The C(ansible_facts) of that name.', type: dict, required: true}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Take what was found
  same_facts: {facts: "{{ hostvars.device1.ansible_facts }}"}
"""
RETURN = """ # """


class ActionModule(ActionBase):  # type: ignore[misc]
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec({"facts": {"type": "dict", "required": True}})
        facts = {f"ansible_{name.removeprefix('ansible_')}": value for name, value in arguments["facts"].items()}
        return {"changed": False, "ansible_facts": facts}
