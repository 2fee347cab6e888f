"""The Debian packages that the lab needs on the machine."""

from __future__ import annotations

import os
import shutil

from .errors import LabError, run

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMANDS = {
    "ip": "iproute2",
    "lxcfs": "lxcfs",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "taskset": "util-linux",
}

VIRTUAL_MACHINE = {"fdtput": "device-tree-compiler", "qemu-system-aarch64": "qemu-system-arm"}


def ensure(commands: dict[str, str] | None = None) -> list[str]:
    """Install the packages of the commands that are absent, and return these packages.

    Raises:
        LabError: apt-get is not here or failed; the message names the packages.
    """
    missing = absent(commands or COMMANDS)
    if not missing:
        return []
    wanted = " ".join(missing)
    if shutil.which("apt-get") is None:
        raise LabError(f"the lab needs these packages of Debian or Ubuntu: {wanted}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "--quiet"], env=quiet, check=False)
    try:
        run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing], env=quiet)
    except LabError as error:
        raise LabError(f"could not install {wanted}: {error}") from None
    if left := absent(commands or COMMANDS):
        raise LabError(f"still missing after the installation: {' '.join(left)}")
    return missing


def absent(commands: dict[str, str]) -> list[str]:
    """Return the packages of the commands that are not installed."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    return sorted({commands[name] for name in commands if shutil.which(name, path=path) is None})
