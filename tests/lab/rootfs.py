"""The root file system that hosts of one system and architecture share, built once and kept in a cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from . import emulation
from .errors import LabError, run
from .registries import Registries
from .state import locked

DEFAULT_MIRROR = "http://deb.debian.org/debian"
RELEASES = {"debian-12": "bookworm"}
# What a board's own image has at least; the roles under test install the rest.
PACKAGES = (
    "apt-utils", "ca-certificates", "dbus", "gpg", "iproute2", "iputils-ping", "kmod", "less", "libfaketime",
    "libpam-systemd", "nano", "openssh-server", "procps", "python3", "python3-venv", "sudo", "systemd",
    "systemd-sysv", "xz-utils",
)  # fmt: skip
# What each host gets of its own goes; nobody looks at a screen here.
CUSTOMISE = r"""
rm -f "$1"/etc/ssh/ssh_host_*key* "$1"/etc/hostname "$1"/etc/resolv.conf
: > "$1"/etc/machine-id
mkdir -p "$1"/usr/local/share/ca-certificates
cp -r "$LAB_AUTHORITIES"/. "$1"/usr/local/share/ca-certificates/
chroot "$1" update-ca-certificates >/dev/null 2>&1
ln -sf /lib/systemd/system/multi-user.target "$1"/etc/systemd/system/default.target
"""


def cache_folder() -> Path:
    """Return where root file systems and images are kept: $LAB_CACHE, else the user's cache."""
    if named := os.environ.get("LAB_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "flowerbed" / "lab"


def path(system: str, arch: str, registries: Registries) -> Path:
    """Return where the root file system of these ingredients is, or would be."""
    recipe = json.dumps([system, arch, PACKAGES, CUSTOMISE, sorted(registries.authorities.items())])
    key = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    return cache_folder() / f"rootfs-{system}-{arch}-{key}"


def ensure(system: str, arch: str, registries: Registries) -> Path:
    """Return a root file system, building it where the cache has none (half a minute; six where it is emulated).

    Raises:
        LabError: mmdebstrap failed; its last line is in the message, all of them in a log in the cache.
    """
    place = path(system, arch, registries)
    with locked(place.with_name(place.name + ".lock"), wait=True):
        if not place.is_dir():
            _build(place, RELEASES[system], arch, registries)
    return place


def _build(place: Path, release: str, arch: str, registries: Registries) -> None:
    partial = place.with_name(place.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    log = place.with_name(place.name + ".log")
    with tempfile.TemporaryDirectory() as temporary:
        for name, text in registries.authorities.items():
            (Path(temporary) / name).write_text(text, encoding="utf-8")
        argv = [
            "mmdebstrap", "--mode=root", "--variant=minbase", f"--architectures={arch}",
            # It would ask binfmt-support, which need not be here.
            *(["--skip=check/qemu"] if arch in emulation.ARCHITECTURES else []),
            f"--include={','.join(PACKAGES)}", f"--customize-hook={CUSTOMISE}",
            '--aptopt=Acquire::http::Timeout "30"', '--aptopt=Acquire::Retries "3"',
            *(f"--aptopt={line}" for line in registries.apt.splitlines()),
            release, str(partial), *sources(release),
        ]  # fmt: skip
        done = run(argv, check=False, env={**os.environ, "LAB_AUTHORITIES": temporary})
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["no output"]
        raise LabError(f"mmdebstrap failed ({log}): {errors[0]}")
    partial.rename(place)


def sources(release: str, folder: Path = Path("/etc/apt")) -> list[str]:
    """Return the lines of sources.list for a release, from this machine's mirrors where it runs that."""
    found: list[str] = []
    for file in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            found += _deb822(text, release) if file.suffix == ".sources" else _one_line(text, release)
    if found:
        return found
    return [
        f"deb {DEFAULT_MIRROR} {release} main",
        f"deb {DEFAULT_MIRROR} {release}-updates main",
        f"deb {DEFAULT_MIRROR}-security {release}-security main",
    ]


def _suites(words: list[str], release: str) -> list[str]:
    return [word for word in words if word in (release, f"{release}-updates", f"{release}-security")]


def _deb822(text: str, release: str) -> list[str]:
    lines = []
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t]+.*)*)", stanza, re.MULTILINE))
        if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes") != "no":
            for uri in fields.get("URIs", "").split():
                for suite in _suites(fields.get("Suites", "").split(), release):
                    lines.append(f"deb {uri} {suite} main")
    return lines


def _one_line(text: str, release: str) -> list[str]:
    lines = []
    for line in text.splitlines():
        words = re.sub(r"\[.*?\]", "", line.split("#")[0]).split()
        if len(words) > 3 and words[0] == "deb" and _suites([words[2]], release):
            lines.append(f"deb {words[1]} {words[2]} main")
    return lines
