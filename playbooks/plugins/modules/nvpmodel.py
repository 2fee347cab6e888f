"""The power mode of an NVIDIA Jetson."""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: nvpmodel
short_description: Set the power mode of an NVIDIA Jetson
description:
  - Resolves a mode's name against the board's own O(config), for the numbers differ from board to board; changes it
    only when it is another one, and asks again afterwards.
  - Some modes need a reboot, which C(nvpmodel) offers in a question. The answer here is no, and then nothing is
    changed; RV(reboot_required) says so. RV(reboot_command) sets the mode and reboots.
options:
  mode:
    description: Name of the mode in any case, as V(MAXN) or V(15W), or its number; without it, it is only asked for.
    type: str
  config: {description: The board's table of modes., type: path, default: /etc/nvpmodel.conf}
  program: {description: The command., type: str, default: nvpmodel}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""
EXAMPLES = """
- name: Give the board all it has
  nvpmodel: {mode: MAXN}
  become: true
  register: power
"""
RETURN = """
mode: {description: 'The mode in the end, by name.', type: str, returned: success, sample: MODE_15W_6CORE}
id: {description: Its number on this board., type: int, returned: success}
previous: {description: 'The mode before, by name.', type: str, returned: success}
wanted: {description: 'The mode that was asked for, as the board calls it.', type: str, returned: with O(mode)}
modes: {description: 'The board''s modes, name to number.', type: dict, returned: success}
reboot_required: {description: Whether the mode comes with a reboot only., type: bool, returned: success}
reboot_command: {description: What sets the mode and reboots., type: str, returned: when one is required}
"""
MODE = re.compile(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.MULTILINE)
ASKS = re.compile(r"reboot required|want to reboot", re.IGNORECASE)


def modes_of(text: str) -> dict[str, int]:
    """Return the modes of an nvpmodel.conf, name to number."""
    return {name: int(number) for number, name in MODE.findall(text)}


def present(output: str) -> int | None:
    """Return the number of the mode that `nvpmodel -q` named: its last line; a line about the fan may come first."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return int(lines[-1]) if lines and lines[-1].isdecimal() else None


def resolve(mode: str, modes: dict[str, int]) -> str | None:
    """Return the board's name of a mode that is given by name, in any case, or by number."""
    for name, number in modes.items():
        if mode.strip().casefold() in (name.casefold(), str(number)):
            return name
    return None


class Board:
    """The board's command."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.program = module, module.params["program"]

    def query(self) -> int:
        """Return the number of the mode in force. Ends the module where the command does not say."""
        status, out, err = self.module.run_command([self.program, "-q"], handle_exceptions=False)
        found = present(out)
        if found is None:
            said = (out + err).strip().splitlines() or [f"exit status {status}"]
            self.module.fail_json(msg=f"{self.program} -q names no power mode: {said[-1]}")
        return int(found or 0)

    def select(self, number: int) -> str:
        """Ask for a mode, with no to the question whether to reboot, and return all that was said."""
        _, out, err = self.module.run_command([self.program, "-m", str(number)], data="no\n")
        return str(out + err)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "mode": {"type": "str"},
            "config": {"type": "path", "default": "/etc/nvpmodel.conf"},
            "program": {"type": "str", "default": "nvpmodel"},
        },
        supports_check_mode=True,
    )
    config, program, mode = module.params["config"], module.params["program"], module.params["mode"]
    try:
        with open(config, encoding="utf-8", errors="replace") as file:
            modes = modes_of(file.read())
    except OSError as error:
        module.fail_json(
            msg=f"{config} cannot be read ({error.strerror}): this board has no power modes to choose from"
        )
    if not modes:
        module.fail_json(msg=f"{config} names no power modes")
    names = {number: name for name, number in modes.items()}
    board = Board(module)
    try:
        before = board.query()
    except OSError as error:
        module.fail_json(msg=f"{program} cannot be run: {error.strerror}")
    was = names.get(before, str(before))
    result: dict[str, Any] = {"changed": False, "mode": was, "id": before, "previous": was, "modes": modes}
    result["reboot_required"] = False
    if mode is None:
        module.exit_json(**result)
    wanted = resolve(mode, modes)
    if wanted is None:
        allowed = ", ".join(f"{name} ({number})" for name, number in modes.items())
        module.fail_json(msg=f"mode={mode} is no power mode of this board; allowed: {allowed}")
    result["wanted"] = wanted
    number = modes[str(wanted)]
    if number == before:
        module.exit_json(**result)
    result["diff"] = {"before": f"power mode: {was}\n", "after": f"power mode: {wanted}\n"}
    if module.check_mode:
        module.exit_json(**{**result, "changed": True, "mode": wanted, "id": number})
    said = board.select(number)
    after = board.query()
    result |= {"mode": names.get(after, str(after)), "id": after}
    if after == number:
        module.exit_json(**{**result, "changed": True})
    if not ASKS.search(said):
        reason = said.strip().splitlines() or ["it said nothing"]
        module.fail_json(
            msg=f"{program} -m {number} did not set {wanted}, the mode is {result['mode']}: {reason[-1]}", **result
        )
    result |= {"reboot_required": True, "reboot_command": f"sh -c 'echo YES | {program} -m {number}'"}
    module.exit_json(**{**result, "changed": after != before})


if __name__ == "__main__":
    main()
