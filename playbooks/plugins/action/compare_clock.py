"""Compare a host's clock with the server's, and warn where a request that it signs would be refused."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from fleet.terminal import warn

DOCUMENTATION = """
module: compare_clock
short_description: Compare a host's clock with the server's
description:
  - Asks the host for the time, and compares it with the controller's while it answers. With O(server), what was found
    for the server, warns where the two are apart by more than the answers' own time explains.
  - A SuperLink of flwr 1.41 refuses a SuperNode whose clock is 10 s ahead of its own, or 5 minutes behind.
options:
  server: {description: What this module found for the server., type: dict, default: {}}
attributes:
  check_mode: {support: full, details: asks as well}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Ask for the time
  compare_clock: {}
  register: clock
- name: Compare
  compare_clock: {server: "{{ hostvars.hub.clock }}"}
"""
RETURN = """
offset: {description: Seconds that the host is ahead of the controller., type: float, returned: where it says}
error: {description: Seconds that this may be wrong by., type: float, returned: where it says}
"""
TOLERATED = 5.0  # seconds


class ActionModule(ActionBase):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec({"server": {"type": "dict", "default": {}}})
        before = time.time()
        said = str(self._low_level_execute_command("date +%s")["stdout"]).strip()
        after = time.time()
        if not said.isdecimal():
            return {"changed": False}
        # The host says whole seconds: half of one is added, which may be wrong by as much.
        offset, error = int(said) + 0.5 - (before + after) / 2, (after - before) / 2 + 0.5
        server: dict[str, float] = arguments["server"]
        if "offset" in server:
            apart = offset - server["offset"]
            if abs(apart) > TOLERATED + error + server["error"]:
                host = (task_vars or {}).get("inventory_hostname", "the host")
                way = "ahead of" if apart > 0 else "behind"
                warn(
                    f"{host}: its clock is {abs(apart):.0f} s {way} the server's; the SuperLink refuses one that is "
                    "10 s ahead or 5 minutes behind (`timedatectl` there says why)"
                )
        return {"changed": False, "offset": offset, "error": error}
