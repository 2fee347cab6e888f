"""Wait until a host's package manager is free."""

from __future__ import annotations

import os
import shlex
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

DOCUMENTATION = """
module: await_first_boot
short_description: Wait, for a bounded time, until nothing else installs packages
description:
  - A fresh system runs cloud-init and an unattended upgrade at its first boot, for minutes. Waits until both are done
    and nobody holds a lock of apt or dpkg; says who is waited for.
options:
  timeout: {description: Seconds to wait., type: int, required: true}
attributes:
  check_mode: {support: full, details: waits as well; nothing is changed}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Wait for the first boot's upgrade
  await_first_boot: {timeout: 1800}
  become: true
"""
RETURN = """
waited: {description: Seconds., type: float, returned: success}
"""
PAUSE = 2.0
TELL_EVERY = 15.0
# Who is busy, a line each. The locks are asked for, not taken; a unit that runs once is `activating` all the while.
ASK = r"""
import fcntl, os, shutil, struct, subprocess

def said(*words):
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()

if shutil.which("cloud-init") and said("cloud-init", "status").splitlines()[:1] in (
    ["status: running"], ["status: not run"], ["status: not started"]
):
    print("cloud-init")
for unit in ("apt-daily.service", "apt-daily-upgrade.service"):
    if said("systemctl", "is-active", unit) == "activating":
        print(unit)
for path in ("dpkg/lock-frontend", "dpkg/lock", "apt/lists/lock"):
    try:
        file = os.open("/var/lib/" + path, os.O_RDWR)
    except FileNotFoundError:
        continue
    answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    kind, _, _, _, pid = struct.unpack("hhqqi4x", answer)
    if kind != fcntl.F_UNLCK:
        try:
            with open(f"/proc/{pid}/comm") as comm:
                name = comm.read().strip()
        except OSError:
            name = "a process"
        print(f"{name} (pid {pid}), which holds /var/lib/{path}")
        break
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec({"timeout": {"type": "int", "required": True}})
        variables = task_vars or {}
        host = variables.get("inventory_hostname", "the host")
        interpreter = self._templar.template(variables.get("ansible_python_interpreter")) or "/usr/bin/python3"
        command = f"{shlex.quote(str(interpreter))} -c {shlex.quote(ASK)}"
        start = told = time.monotonic()
        playbook = os.getppid()  # a worker outlives a playbook that is killed
        while os.getppid() == playbook:
            answer = self._low_level_execute_command(command)
            if answer["rc"]:
                return {"failed": True, "msg": answer["stderr"] or answer["stdout"]}
            busy = str(answer["stdout"]).splitlines()
            waited = time.monotonic() - start
            if not busy:
                break
            if waited > arguments["timeout"]:
                line = f"{host}: still busy after {waited:.0f} s: {', '.join(busy)}; wait for it, or end it there"
                return {"failed": True, "msg": line, "user_errors": [line]}
            if time.monotonic() - told > TELL_EVERY or told == start:
                told = time.monotonic()
                Display().display(f"{host}: waiting for {', '.join(busy)}, {waited:.0f} s")
            time.sleep(PAUSE)
        return {"changed": False, "waited": round(waited, 1)}
