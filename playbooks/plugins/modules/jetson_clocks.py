"""The clocks of an NVIDIA Jetson: at their highest, or as they were."""

from __future__ import annotations

import os
import re

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: jetson_clocks
short_description: Hold the clocks of an NVIDIA Jetson at their highest, or put them back
description:
  - Stores the clocks as they are in O(store) before it raises them, and puts those back. A reboot does so, too.
options:
  state:
    description: V(on) holds them; V(off) puts back what was stored.
    choices: ['on', 'off']
    required: true
    type: str
  store: {description: File for the clocks as they were., type: path, required: true}
  program: {description: The command., type: str, default: jetson_clocks}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""
EXAMPLES = """
- name: Hold the clocks
  jetson_clocks: {state: "on", store: /var/lib/flowerbed/clocks}
  become: true
"""
RETURN = """
held: {description: Whether the clocks were at their highest before., type: bool, returned: success}
"""


def held(shown: str) -> bool:
    """Return whether `jetson_clocks --show` says that each clock's lowest is its highest."""
    clocks = re.findall(r"MinFreq=(\d+)\s+MaxFreq=(\d+)", shown)
    return bool(clocks) and all(low == high for low, high in clocks)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["on", "off"], "required": True},
            "store": {"type": "path", "required": True},
            "program": {"type": "str", "default": "jetson_clocks"},
        },
        supports_check_mode=True,
    )
    program, store, on = module.params["program"], module.params["store"], module.params["state"] == "on"

    def call(*words: str) -> str:
        status, out, err = module.run_command([program, *words])
        if status != 0:
            said = (out + err).strip().splitlines() or [f"exit status {status}"]
            module.fail_json(msg=f"{program} {' '.join(words)} failed: {said[-1]}")
        return str(out)

    before = held(call("--show"))
    stored = os.path.exists(store)
    changed = not before if on else stored
    diff = {"before": f"clocks held: {before}\n", "after": f"clocks held: {on if changed else before}\n"}
    if changed and not module.check_mode:
        if on:
            if stored:
                os.remove(store)  # of a time before a reboot, which has put them back
            call("--store", store)
            call()
        else:
            if before:
                call("--restore", store)
            os.remove(store)
    module.exit_json(changed=changed, held=before, diff=diff)


if __name__ == "__main__":
    main()
