"""Programs of another architecture: qemu-user, which the kernel (binfmt_misc) starts for each of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from .errors import LabError
from .packages import ensure as ensure_packages
from .state import Change, SharedSettings

ARCHITECTURES = ("arm64",)
BINFMT = Path("/proc/sys/fs/binfmt_misc")
# Our own entry: the kernel asks the newest first, so that it matters not what the machine has.
ENTRY = BINFMT / "flowerbed-aarch64"
QEMU = "qemu-aarch64-static"
# Where an ELF header says 64 bits, little-endian, program or shared object, AArch64 (as Debian's qemu-aarch64.conf).
MAGIC = r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
# Keep argv[0], hand over the opened program, let sudo become root, and find qemu from a root without one.
FLAGS = "POCF"
# qemu-user lacks the mount calls with which systemd hands credentials to a unit, and these would not start.
CREDENTIAL_UNITS = ("systemd-sysusers", "systemd-tmpfiles-setup", "systemd-tmpfiles-setup-dev")
DROP_IN = "[Service]\nLoadCredential=\nSetCredential=\nImportCredential=\n"


def enable(settings: SharedSettings) -> list[str]:
    """Let the kernel run arm64 programs until `settings` are released; return the packages it installed.

    Raises:
        LabError: qemu-user cannot be installed, or the kernel has no binfmt_misc.
    """
    installed = ensure_packages({QEMU: "qemu-user-static"})
    if "binfmt_misc" not in Path("/proc/filesystems").read_text(encoding="utf-8"):
        raise LabError("this kernel has no binfmt_misc, which arm64 hosts need (modprobe binfmt_misc)")
    register = BINFMT / "register"
    rule = f":{ENTRY.name}:M::{MAGIC}:{MASK}:{shutil.which(QEMU)}:{FLAGS}"
    settings.make(
        Change(register, ("mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)), ("umount", str(BINFMT))),
        Change(ENTRY, _write(register, rule), _write(ENTRY, "-1")),
    )
    return installed


def _write(path: Path, text: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", 'printf %s "$2" > "$1"', "sh", str(path), text)


def drop_ins() -> dict[str, str]:
    """Return the files that a host under qemu-user needs to boot, by path."""
    return {f"etc/systemd/system/{unit}.service.d/lab.conf": DROP_IN for unit in CREDENTIAL_UNITS}
