"""Tell the user something, whatever the verbosity."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from fleet.terminal import warn

DOCUMENTATION = """
module: tell
short_description: Print plain lines, or a warning
description:
  - C(ansible.builtin.debug) is silent when ok hosts are not displayed; what a user is to read is shown always.
options:
  lines: {description: The lines., type: list, elements: str, required: true}
  warning: {description: Print them as warnings., type: bool, default: false}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Say where the report is
  tell: {lines: ["report: results/latest/report.html"]}
"""
RETURN = """ # """


class ActionModule(ActionBase):  # type: ignore[misc]
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "lines": {"type": "list", "elements": "str", "required": True},
                "warning": {"type": "bool", "default": False},
            }
        )
        show = warn if arguments["warning"] else Display().display
        for line in arguments["lines"]:
            show(line)
        return {"changed": False}
