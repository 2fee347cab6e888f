"""What of this machine a lab could leave changed, for a comparison before and after."""

from __future__ import annotations

import os
from pathlib import Path

from . import kind
from .cgroups import MOUNT
from .emulation import BINFMT, QEMU
from .errors import run
from .state import FOUND, MACHINE, Found, read_json

SETTINGS = ("fs/inotify/max_user_instances", "net/ipv4/ip_forward", "vm/swappiness", "kernel/hostname")
USERS = {kind.load(name).user for name in kind.names()}  # made in the hosts, never here
FOLDERS = ("/run", "/run/netns", "/run/systemd/nspawn", "/run/flowerbed-lab", "/run/lxcfs")


def take() -> dict[str, list[str]]:
    """Return what there is now, by what it is: two of these are equal where nothing was left behind."""
    found: Found = read_json(MACHINE / FOUND, {})
    return {
        "labs": sorted({lab for entries in found.values() for entry in entries.values() for lab in entry["labs"]}),
        "processes": sorted(_processes()),
        "mounts": sorted(" ".join(line.split()[3:6]) for line in _lines("/proc/self/mountinfo")),
        "swaps": _lines("/proc/swaps"),
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "firewall": run(["nft", "list", "ruleset"]).stdout.splitlines(),
        "loops": run(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"]).stdout.split(),
        "binfmt": sorted(place.name for place in BINFMT.iterdir()) if BINFMT.is_dir() else [],
        "groups": sorted(_groups()),
        "settings": [f"{name} {_lines(f'/proc/sys/{name}')}" for name in (*SETTINGS, *_forwarding())],
        "folders": [f"{folder}: {sorted(os.listdir(folder))}" for folder in FOLDERS if Path(folder).is_dir()],
        "users": [line for line in _lines("/etc/passwd") if line.split(":")[0] in USERS],
    }


def changes(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """Return one line for each thing that came or went."""
    found = []
    for what, items in before.items():
        found += [f"{what}: {item} is new" for item in sorted(set(after[what]) - set(items))]
        found += [f"{what}: {item} is gone" for item in sorted(set(items) - set(after[what]))]
    return found


def _processes() -> list[str]:
    """Return the commands of a lab's programs: others come and go on a machine at work."""
    programs = ("systemd-nspawn", "lxcfs", "systemd", "systemd-journal", "sshd", "qemu-system-aar")
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            name = (place / "comm").read_text().strip()
            if (place / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                continue  # it has ended, and waits for the machine's PID 1 to notice
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it ended
            continue
        if name in programs or b"systemd-nspawn" in words or words[0].endswith(QEMU.encode()):
            found.append(f"{place.name} {name}")
    return found


def _groups() -> list[str]:
    """Return the control groups, but for those beside the caller's own: they are others at work."""
    own = [line.split(":", 2) for line in _lines("/proc/self/cgroup")]
    mine = {MOUNT / name.removeprefix("name=") / path.lstrip("/") for _number, name, path in own}
    beside = {group.parent for group in mine} - {MOUNT} - set(MOUNT.iterdir())
    found = []
    for folder, names, _files in os.walk(MOUNT):
        if Path(folder) in beside:
            names[:] = [name for name in names if Path(folder, name) in mine]
        found.append(folder)
    return found


def _forwarding() -> list[str]:
    folder = Path("/proc/sys/net/ipv4/conf")
    return sorted(f"net/ipv4/conf/{place.name}/forwarding" for place in folder.iterdir())


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
