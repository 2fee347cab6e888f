"""Bring a file or a folder to a host, where it is not there yet."""

from __future__ import annotations

import hashlib
import io
import shlex
import tarfile
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

DOCUMENTATION = """
module: hand_over
short_description: Bring a file, or what is in a folder, to a host that has it not yet
description:
  - What C(ansible.builtin.copy) does, which starts two modules for each file. Here one command asks for all of them,
    and a second one takes all that are lacking; more than 64 MB of these are left to C(ansible.builtin.copy).
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
IN_MEMORY = 64 * 2**20  # bytes
# A checksum and a path for each file whose owner alone may read it. macOS has shasum and no sha256sum.
LOOK = """
sum=$(command -v sha256sum || echo shasum -a 256)
find {root} -type f -perm 0600 -user {owner} -exec $sum {{}} +
"""
# Each file is renamed to its place once all of them are whole.
TAKE = """
set -e
umask 077
root={root}
make() {{ [ -d "$1" ] || {{ make "$(dirname "$1")"; mkdir "$1"; {own} "$1"; }} }}
make "$root"
rm -rf "$root"/.new.*
new=$(mktemp -d "$root/.new.XXXXXX")
trap 'rm -rf "$new"' EXIT
tar -C "$new" -xf -
{own} "$new"
cd "$new"
find . -type d ! -name . -exec sh -c 'for one; do mkdir -p "$0/$one" && {own} "$0/$one" || exit 1; done' "$root" {{}} +
find . -type f -exec sh -c '
  for one; do
    if [ -d "$0/$one" ]; then echo "$0/$one is a folder" >&2; exit 1; fi
    mv -f "$one" "$0/$one" || exit 1
  done' "$root" {{}} +"""


class ActionModule(ActionBase):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        source, dest, owner = Path(arguments["src"]), arguments["dest"].rstrip("/"), arguments["owner"]
        files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        names = {str(Path(dest, path.relative_to(source))): path for path in files}
        there = self._there(dest, owner)
        lacking = {name: path for name, path in names.items() if (name, _checksum(path)) not in there}
        if not lacking:
            return {"changed": False}
        if sum(path.stat().st_size for path in lacking.values()) > IN_MEMORY:
            return self._copy(f"{source}/" if source.is_dir() else str(source), dest, owner, task_vars)
        diff = {"before": "", "after": "".join(f"{name}\n" for name in lacking)}
        failure = {} if self._task.check_mode else self._take(lacking, dest, source.is_dir(), owner)
        return {"changed": True, "diff": diff, **failure}

    def _there(self, dest: str, owner: str | None) -> set[tuple[str, str]]:
        """Return path and checksum of what is there and is as it should be."""
        who = shlex.quote(owner) if owner else '"$(id -un)"'
        said = str(self._low_level_execute_command(LOOK.format(root=shlex.quote(dest), owner=who))["stdout"])
        return {(path, checksum) for checksum, _, path in (line.partition("  ") for line in said.splitlines())}

    def _take(self, lacking: dict[str, Path], dest: str, folder: bool, owner: str | None) -> dict[str, Any]:
        """Send files in one stream; return what failed."""
        root = dest if folder else str(Path(dest).parent)
        with io.BytesIO() as stream:
            with tarfile.open(fileobj=stream, mode="w") as archive:
                for name, path in lacking.items():
                    member = tarfile.TarInfo(str(Path(name).relative_to(root)))
                    member.size, member.mtime, member.mode = path.stat().st_size, int(path.stat().st_mtime), 0o600
                    with path.open("rb") as file:
                        archive.addfile(member, file)
            content = stream.getvalue()
        own = f"chown -R {shlex.quote(owner)}" if owner else ":"
        done = self._low_level_execute_command(TAKE.format(root=shlex.quote(root), own=own), in_data=content)
        if done["rc"] == 0:
            return {}
        said = str(done["stderr"]).strip().splitlines() or [f"exit status {done['rc']}"]
        return {"changed": False, "failed": True, "msg": f"{dest} could not be written: {said[-1]}"}

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
