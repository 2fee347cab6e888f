"""The cache's content: what the hosts of a fleet need of it, and how the slow parts are built ahead."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from . import emulation, image, packages, registries, rootfs
from .errors import LabError
from .fleet import Fleet, HostSpec
from .registries import Registries
from .state import SharedSettings, locked

Say = Callable[[str], None]
SYSTEM = "debian-12"
# What can be built, and how long it takes where nothing else runs.
TIMES = {"amd64": "half a minute", "arm64": "about 5 minutes", "vm": "about 3 minutes more than arm64"}
NAMES = {"amd64": "amd64 root file system", "arm64": "arm64 root file system", "vm": "arm64 virtual machine"}


def path(what: str, found: Registries, system: str = SYSTEM) -> Path:
    """Return where something that can be built is, or would be."""
    return image.path(system, found) if what == "vm" else rootfs.path(system, what, found)


def base(host: HostSpec, found: Registries) -> Path:
    """Return what a host's disk is made of, building it where it is not there."""
    return image.ensure(host.os, found) if host.machine == "vm" else rootfs.ensure(host.os, host.arch, found)


def absent(what: str, system: str = SYSTEM) -> str:
    """Return why such hosts cannot be booted at once, empty where they can."""
    if path(what, registries.find(), system).is_dir():
        return ""
    return f"no {NAMES[what]} in the cache: `python tests/lab cache {what}` builds it in {TIMES[what]}"


def prepare(fleet: Fleet, found: Registries, say: Say) -> None:
    """Build what a fleet needs and is quick to build.

    Raises:
        LabError: something takes minutes to build and is not there; the message names the command.
    """
    for host in fleet.hosts:
        what = "vm" if host.machine == "vm" else host.arch
        if what == "vm":
            packages.ensure(packages.VIRTUAL_MACHINE)
        if host.emulated:
            if reason := absent(what, host.os):
                raise LabError(reason)
        elif not path(what, found, host.os).is_dir():
            say(f"building the {NAMES[what]} (once, {TIMES[what]})")
        base(host, found)


def build(what: str, say: Say) -> Path:
    """Build what is not there yet and return its folder.

    Raises:
        LabError: it cannot be built, or another build is under way.
    """
    found, lock = registries.find(), _lock()
    place = path(what, found)
    if place.is_dir():
        return place
    say(f"building the {NAMES[what]} (once, {TIMES[what]})")
    settings = SharedSettings(str(lock))  # a build holds settings of the machine, too
    with locked(lock, wait=False, remove=True):
        try:
            packages.ensure()
            if what != "amd64":
                emulation.enable(settings)
            return image.ensure(SYSTEM, found) if what == "vm" else rootfs.ensure(SYSTEM, what, found)
        finally:
            settings.release()


def tidy() -> None:
    """Put back what a build that was killed had changed on the machine; leave one that runs alone."""
    lock = _lock()
    if lock.exists():
        with contextlib.suppress(LabError), locked(lock, wait=False, remove=True):
            SharedSettings(str(lock)).release()


def _lock() -> Path:
    return rootfs.cache_folder().resolve() / "build.lock"
