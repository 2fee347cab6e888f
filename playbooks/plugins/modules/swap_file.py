"""A file of swap: made, resized, switched on, removed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: swap_file
short_description: Have a swap file of a size, switched on, or none
description:
  - Makes the file and switches it on; makes it anew where the size differs or what is there is no swap; removes it for
    a size of 0. One that was left half made is made anew.
  - Refuses where the file system would be left with less than O(reserve), or cannot hold swap. What is in use is not
    touched then.
options:
  path: {description: The file., type: path, required: true}
  size: {description: MiB; 0 removes it., type: int, required: true}
  reserve: {description: MiB that stay free on its file system., type: int, default: 0}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""
EXAMPLES = """
- name: Have 1 GB of swap
  swap_file: {path: /var/flowerbed.swap, size: 1024, reserve: 2048}
  become: true
"""
RETURN = """
previous: {description: 'MiB that were switched on before, 0 without.', type: int, returned: success}
device: {description: What the file system is on., type: str, returned: success, sample: /dev/mmcblk0p2}
user_errors: {description: Why it is refused., type: list, elements: str, returned: failure}
"""
MIB = 2**20
# A swap file needs blocks that stay where they are.
GOOD = ("ext4", "ext3", "ext2", "xfs")
MAGIC = b"SWAPSPACE2"


class RefusedError(Exception):
    """The user's mistake, in one line."""


def active(path: str) -> bool:
    """Return whether a file is switched on as swap.

    The kernel is asked by the file, for /proc/swaps may name another path, or in a container not all of them.
    """
    try:
        with open(path, "r+b") as file:
            if os.fstat(file.fileno()).st_size:
                os.posix_fallocate(file.fileno(), 0, 1)  # is there already
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.ETXTBSY:
            return True
        raise
    return False


def size_of(path: str) -> int:
    """Return the MiB of a whole swap file, 0 where there is none."""
    page = os.sysconf("SC_PAGESIZE")
    try:
        with open(path, "rb") as file:
            file.seek(page - len(MAGIC))
            whole = file.read(len(MAGIC)) == MAGIC
            found = os.fstat(file.fileno())
    except OSError:
        return 0
    return found.st_size // MIB if whole and found.st_blocks * 512 >= found.st_size else 0


def home(path: str, mounts: Path = Path("/proc/self/mounts")) -> tuple[str, str]:
    """Return the device and the kind of the file system that a path is on."""
    folder, best, answer = os.path.realpath(os.path.dirname(path)), "", ("", "")
    for line in mounts.read_text(encoding="utf-8").splitlines():
        device, point, kind = line.split()[:3]
        if os.path.commonpath([folder, point]) == point and len(point) >= len(best):
            best, answer = point, (device, kind)
    return answer


def free(path: str) -> int:
    """Return the MiB that would be free on a path's file system without the file."""
    told = os.statvfs(os.path.dirname(path))
    own = os.stat(path).st_blocks * 512 if os.path.exists(path) else 0
    return (told.f_bavail * told.f_frsize + own) // MIB


def check(path: str, size: int, reserve: int, kind: str) -> None:
    """Raise RefusedError where a file of this size cannot be had."""
    if kind not in GOOD:
        folder, good = os.path.dirname(path), ", ".join(GOOD)
        raise RefusedError(f"{folder} is on {kind}, which cannot hold a swap file; allowed: {good}")
    there = free(path)
    if there - size < reserve:
        raise RefusedError(
            f"{size} MB would leave {max(0, there - size)} MB free on the disk of {path}; "
            f"allowed: up to {max(0, there - reserve)} MB, so that {reserve} MB stay free"
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "size": {"type": "int", "required": True},
            "reserve": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    path, size = module.params["path"], module.params["size"]
    device, kind = home(path)
    there, on = size_of(path), active(path)
    right = there == size and on if size else not os.path.lexists(path)
    before, after = _say(path, there if on else 0), _say(path, size)
    result: dict[str, Any] = {
        "changed": not right,
        "previous": there if on else 0,
        "device": device,
        "diff": {"before": before, "after": after},
    }
    if right:
        module.exit_json(**result)
    try:
        if size and there != size:
            check(path, size, module.params["reserve"], kind)
    except RefusedError as error:
        module.fail_json(msg=str(error), user_errors=[str(error)])
    if not module.check_mode:
        if on and there != size:
            module.run_command(["swapoff", path], check_rc=True)
        if not size:
            os.unlink(path)
        else:
            if there != size:
                _make(module, path, size)
            module.run_command(["swapon", path], check_rc=True)
    module.exit_json(**result)


def _say(path: str, size: int) -> str:
    return f"{path}: {f'{size} MB of swap' if size else 'no swap'}\n"


def _make(module: AnsibleModule, path: str, size: int) -> None:
    """Make the file under another name first, so that one that is half made is never taken for whole."""
    partial = f"{path}.new"
    for old in (path, partial):
        if os.path.lexists(old):
            os.unlink(old)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size * MIB)
    module.run_command(["mkswap", partial], check_rc=True)
    os.rename(partial, path)


if __name__ == "__main__":
    main()
