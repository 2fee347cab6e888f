"""The cache's content: what the hosts of a fleet need of it, and how the slow parts are built ahead."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from . import emulation, packages, registries, rootfs
from .errors import LabError
from .fleet import Fleet
from .registries import Registries
from .state import SharedSettings, locked

Say = Callable[[str], None]
BUILDER = "_cache"  # holds settings of the machine while it builds; no lab is named so
SYSTEM = "debian-12"
# What can be built, and how long it takes where nothing else runs.
TIMES = {"amd64": "half a minute", "arm64": "about 5 minutes"}


def absent(arch: str, system: str = SYSTEM) -> str:
    """Return why hosts of this architecture cannot be booted at once, empty where they can."""
    if rootfs.path(system, arch, registries.find()).is_dir():
        return ""
    return f"no {arch} root file system in the cache: `python tests/lab cache {arch}` builds it in {TIMES[arch]}"


def prepare(fleet: Fleet, found: Registries, say: Say) -> None:
    """Build what a fleet needs and is quick to build.

    Raises:
        LabError: something takes minutes to build and is not there; the message names the command.
    """
    for system, arch in sorted({(host.os, host.arch) for host in fleet.hosts}):
        if arch in emulation.ARCHITECTURES:
            if reason := absent(arch, system):
                raise LabError(reason)
        elif not rootfs.path(system, arch, found).is_dir():
            say(f"building the {arch} root file system (once, {TIMES[arch]})")
        rootfs.ensure(system, arch, found)


def build(arch: str, say: Say) -> Path:
    """Build what is not there yet and return its folder.

    Raises:
        LabError: it cannot be built, or another build is under way.
    """
    found, settings = registries.find(), SharedSettings(BUILDER)
    if not rootfs.path(SYSTEM, arch, found).is_dir():
        say(f"building the {arch} root file system (once, {TIMES[arch]})")
    with locked(rootfs.cache_folder() / "build.lock", wait=False, remove=True):
        try:
            packages.ensure()
            if arch in emulation.ARCHITECTURES:
                emulation.enable(settings)
            return rootfs.ensure(SYSTEM, arch, found)
        finally:
            settings.release()


def tidy() -> None:
    """Put back what a build that was killed had changed on the machine; leave one that runs alone."""
    lock = rootfs.cache_folder() / "build.lock"
    if lock.exists():
        with contextlib.suppress(LabError), locked(lock, wait=False, remove=True):
            SharedSettings(BUILDER).release()
