"""Bring what a command prints on a host to the controller, as a file or unpacked."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

DOCUMENTATION = """
module: fetch_output
short_description: Run a command on a host and bring its output to a file on the controller
description:
  - The output goes through a file on the host, so that it may be larger than memory. C(ansible.builtin.fetch) brings
    one file that exists; this brings a part of a log, or a folder as a tar stream.
options:
  command: {description: Shell command; what it prints on stdout is brought., type: str, required: true}
  dest: {description: 'File on the controller, or folder with O(unpack).', type: path, required: true}
  unpack: {description: The output is a tar archive; unpack it in O(dest)., type: bool, default: false}
attributes:
  check_mode: {support: full, details: does nothing}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Bring the run's folder
  fetch_output: {command: tar -C /var/lib/flowerbed/runs/1234 -cf - ., dest: results/1234, unpack: true}
"""
RETURN = """
bytes: {description: Size of the output., type: int, returned: success}
"""
ARGUMENTS = {
    "command": {"type": "str", "required": True},
    "dest": {"type": "path", "required": True},
    "unpack": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        if self._task.check_mode:
            return {"changed": False, "bytes": 0}
        there = self._on_host(arguments["command"])
        if "file" not in there:
            return {"failed": True, "msg": f"the command failed: {there['stderr']}"}
        try:
            return {
                "changed": True,
                "bytes": self._bring(there["file"], Path(arguments["dest"]), arguments["unpack"]),
            }
        finally:
            self._low_level_execute_command(f"rm -f {shlex.quote(there['file'])}")

    def _on_host(self, command: str) -> dict[str, str]:
        """Run the command into a temporary file that the connection's own user can read."""
        script = f'umask 077; out=$(mktemp) && {{ {command}; }} >"$out" && echo "$out" || {{ rm -f "$out"; exit 1; }}'
        answer = self._low_level_execute_command(script)
        if answer["rc"] != 0:
            return {"stderr": str(answer["stderr"]).strip()}
        path = str(answer["stdout"]).strip().splitlines()[-1]
        if self._play_context.become:
            user = self._get_remote_user() or "root"
            self._low_level_execute_command(f"chown {shlex.quote(user)} {shlex.quote(path)}")
        return {"file": path}

    def _bring(self, path: str, dest: Path, unpack: bool) -> int:
        dest.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=dest.parent) as folder:
            arrived = Path(folder) / "output"
            self._connection.fetch_file(path, str(arrived))
            size = arrived.stat().st_size
            if unpack:
                dest.mkdir(exist_ok=True)
                # tar itself refuses paths that lead out of the folder; Python's own does so only since 3.11.4
                subprocess.run(["tar", "-xof", str(arrived), "-C", str(dest)], check=True)
            else:
                os.replace(arrived, dest)
        return size

    def _get_remote_user(self) -> str:
        return (
            str(self._connection.get_option("remote_user") or "") if self._connection.has_option("remote_user") else ""
        )
