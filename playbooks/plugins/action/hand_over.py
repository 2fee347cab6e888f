"""Bring a file or a folder to a host, where it is not there yet."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

DOCUMENTATION = """
module: hand_over
short_description: Bring a file, or what is in a folder, to a host that has it not yet
description:
  - What C(ansible.builtin.copy) does, which asks for each file by itself. Here one command asks for all of them; where
    each is there as it should be, that was all.
options:
  src: {description: 'File on the controller, or folder with all that is in it.', type: path, required: true}
  dest: {description: The file or the folder on the host., type: path, required: true}
  owner: {description: 'Who owns it; by default the user of the connection.', type: str}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""
EXAMPLES = """
- name: Give the host its part
  hand_over: {src: .fleet/partitions/1234/0, dest: /var/lib/flowerbed/data/1234, owner: fl}
"""
RETURN = """ # """
ARGUMENTS = {
    "src": {"type": "path", "required": True},
    "dest": {"type": "path", "required": True},
    "owner": {"type": "str"},
}
# A checksum and a path for each file whose owner alone may read it. macOS has shasum and no sha256sum.
LOOK = """
sum=$(command -v sha256sum || echo shasum -a 256)
find {dest} -type f -perm 0600 -user {owner} -exec $sum {{}} +
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        source, dest, owner = Path(arguments["src"]), arguments["dest"].rstrip("/"), arguments["owner"]
        files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        names = {str(Path(dest, path.relative_to(source))): path for path in files}
        if self._there(dest, owner) >= {(name, _checksum(path)) for name, path in names.items()}:
            return {"changed": False}
        return self._copy(f"{source}/" if source.is_dir() else str(source), dest, owner, task_vars)

    def _there(self, dest: str, owner: str | None) -> set[tuple[str, str]]:
        """Return path and checksum of what is there and is as it should be."""
        who = shlex.quote(owner) if owner else '"$(id -un)"'
        command = LOOK.format(dest=shlex.quote(dest), owner=who)
        said = str(self._low_level_execute_command(command)["stdout"])
        return {(path, checksum) for checksum, _, path in (line.partition("  ") for line in said.splitlines())}

    def _copy(self, source: str, dest: str, owner: str | None, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        task = self._task.copy()
        folder = source.endswith("/")
        task.args = {"src": source, "dest": f"{dest}/" if folder else dest, "mode": "0600"}
        task.args |= {"directory_mode": "0700"} if folder else {}
        task.args |= {"owner": owner} if owner else {}
        action = self._shared_loader_obj.action_loader.get(
            "ansible.builtin.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        result: dict[str, Any] = action.run(task_vars=task_vars)
        return result


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
