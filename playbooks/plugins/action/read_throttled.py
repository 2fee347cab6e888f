"""Ask a Raspberry Pi's firmware for under-voltage and heat, and warn."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from fleet import throttled
from fleet.terminal import warn

DOCUMENTATION = """
module: read_throttled
short_description: Ask a Raspberry Pi's firmware for under-voltage and heat
description:
  - Runs C(vcgencmd get_throttled) and warns of what it says, in words. On a host without that command, or where it
    may not be asked, says nothing.
options:
  before: {description: 'What it said before the run, as RV(before); empty where the run is still to come.',
           type: str, default: ''}
attributes:
  check_mode: {support: full, details: asks as well}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Ask before the run
  read_throttled: {}
  register: throttled
- name: Ask after it
  read_throttled: {before: "{{ throttled.before }}"}
"""
RETURN = """
before: {description: What it said before the run., type: str, returned: where it is known, sample: '0x0'}
after: {description: What it said after it., type: str, returned: after a run, sample: '0x50005'}
said: {description: In words., type: list, elements: str, returned: always, sample: [under-voltage]}
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec({"before": {"type": "str", "default": ""}})
        host = (task_vars or {}).get("inventory_hostname", "the host")
        answer = self._low_level_execute_command("vcgencmd get_throttled")
        value = throttled.bits(str(answer["stdout"]))
        if value is None:
            return {"changed": False, "said": []}
        if not arguments["before"]:
            said = throttled.at_start(value)
            if said:
                warn(f"{host}: {', '.join(said)} (throttled={value:#x}): a better power supply or cooling helps")
            return {"changed": False, "before": f"{value:#x}", "said": said}
        said = throttled.in_run(int(arguments["before"], 16), value)
        if said:
            warn(f"{host}: {', '.join(said)} in this run (throttled={value:#x}): its times are those of a slower board")
        return {"changed": False, "before": arguments["before"], "after": f"{value:#x}", "said": said}
