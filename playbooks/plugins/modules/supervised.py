"""A program under supervisor (supervisord.org), for hosts without systemd or without root."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: supervised
short_description: Start, stop or restart a program under supervisor
description:
  - Starts the host's supervisord itself when it does not run and a program is to run.
  - Ends supervisord when the last program is stopped.
  - Takes over a changed or new file of a program, and restarts that program alone.
options:
  name: {description: The program., type: str, required: true}
  config: {description: supervisord's configuration file., type: path, required: true}
  bin: {description: Folder that holds supervisord and supervisorctl., type: path, required: true}
  state:
    description: V(started) and V(stopped) change only what is otherwise. V(restarted) always restarts.
    choices: [started, stopped, restarted]
    default: started
    type: str
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""
EXAMPLES = """
- name: Start the SuperNode
  supervised: {name: supernode, config: /home/me/fleet/supervisord.conf, bin: /home/me/.venv/bin}
"""
RETURN = """
was:
  description: 'State before: running, stopped, starting, fatal, unknown or down (no supervisord).'
  type: str
  returned: always
"""


class Supervisor:
    """The host's supervisord, through supervisorctl."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.config = module, module.params["config"]
        self.folder = module.params["bin"]

    def control(self, *arguments: str) -> str:
        """Run supervisorctl; its exit status says nothing that its output does not say better."""
        _, out, err = self.module.run_command([f"{self.folder}/supervisorctl", "-c", self.config, *arguments])
        return str(out + err)

    def is_up(self) -> bool:
        """Return whether supervisord answers."""
        return self.control("pid").strip().isdecimal()

    def start_daemon(self) -> None:
        """Start supervisord, which starts every program that it finds."""
        # It goes on after this task, in a session of its own, and must not hold the task's pipes open.
        status, out, err = self.module.run_command([f"{self.folder}/supervisord", "-c", self.config], close_fds=True)
        if status != 0:
            self.module.fail_json(msg=f"supervisord did not start: {(err or out).strip()}")

    def state(self, name: str) -> str:
        """Return the program's state, in lower case."""
        words = self.control("status", name).split()
        known = {"RUNNING", "STOPPED", "STARTING", "BACKOFF", "STOPPING", "EXITED", "FATAL"}
        return words[1].lower() if len(words) > 1 and words[1] in known else "unknown"

    def is_idle(self) -> bool:
        """Return whether no program runs or will be started again."""
        states = {line.split()[1] for line in self.control("status").splitlines() if len(line.split()) > 1}
        return not states & {"RUNNING", "STARTING", "BACKOFF", "STOPPING"}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "config": {"type": "path", "required": True},
            "bin": {"type": "path", "required": True},
            "state": {"choices": ["started", "stopped", "restarted"], "default": "started"},
        },
        supports_check_mode=True,
    )
    name, wanted = module.params["name"], module.params["state"]
    supervisor = Supervisor(module)
    was = "down"
    if os.path.exists(module.params["config"]) and supervisor.is_up():
        was = supervisor.state(name)
    runs = was in ("running", "starting", "backoff")  # backoff: supervisor will try again
    changed = wanted == "restarted" or (runs != (wanted == "started"))
    if wanted == "stopped" and was != "down":
        changed = runs or supervisor.is_idle()
    result: dict[str, Any] = {"changed": changed, "was": was}
    result["diff"] = {"before": f"{name}: {was}\n", "after": f"{name}: {wanted if changed else was}\n"}
    if changed and not module.check_mode:
        if wanted == "stopped":
            supervisor.control("stop", name)
            if supervisor.is_idle():
                supervisor.control("shutdown")
        elif was == "down":
            supervisor.start_daemon()
        else:
            # `update` reads the file again and restarts the program when it changed; else it is restarted here
            updated = supervisor.control("update", name)
            if "updated" not in updated and "added" not in updated:
                supervisor.control("restart" if runs else "start", name)
        if wanted != "stopped" and supervisor.state(name) in ("unknown", "stopped", "fatal"):
            module.fail_json(msg=f"{name} did not start: {supervisor.control('status', name).strip()}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
