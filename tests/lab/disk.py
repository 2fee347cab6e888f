"""The disk of a host: a sparse ext4 image of its own size, and the shared root file system below it."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

from .errors import LabError, run

SWAP_FOLDER = "/var/swap"  # an overlay cannot hold a swap file; this folder is bound from the image itself


class Disk:
    """One host's disk in the lab's folder.

    Attributes:
        folder: everything of this disk.
        image: the sparse image; what a host writes is in it, and counts against its size.
        volume: where the image is mounted.
        root: the host's root file system.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = folder / "disk.img"
        self.volume = folder / "disk"
        self.root = folder / "root"

    @property
    def swap(self) -> Path:
        """The folder that a host sees as :data:`SWAP_FOLDER`."""
        return self.volume / "swap"

    @property
    def docker(self) -> Path:
        """The folder that a host with a Docker engine sees as the engine's own: its overlays cannot lie on another."""
        return self.volume / "docker"

    def make(self, size: int) -> None:
        """Make an empty image of `size` MiB."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.image.unlink(missing_ok=True)  # the kernel may hold the old one a little longer
        with self.image.open("wb") as file:
            file.truncate(size * 2**20)
        run(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "nodiscard", self.image])

    def mount(self, lower: Path) -> None:
        """Mount the image, and over `lower` the host's root file system."""
        for place in (self.volume, self.root):
            place.mkdir(parents=True, exist_ok=True)
        if not mounted(self.volume):
            run(["mount", "-o", "loop,discard", self.image, self.volume])
        for name in ("upper", "work", "swap", "docker"):
            (self.volume / name).mkdir(exist_ok=True)
        if not mounted(self.root):
            options = f"lowerdir={lower},upperdir={self.volume}/upper,workdir={self.volume}/work"
            if any(sign in f"{lower}{self.volume}" for sign in ",:"):
                raise LabError(f"{self.volume} or {lower} holds a comma or colon, which an overlay cannot")
            run(["mount", "-t", "overlay", "-o", options, f"lab-{self.folder.name}", self.root])

    def unmount(self) -> None:
        """Take the mounts away, and swap that the host left on them; its processes must be gone."""
        if self.swap.is_dir():
            for file in self.swap.rglob("*"):
                if file.is_file():
                    swapoff(file)
        for place in (self.root, self.volume):
            unmount(place)


def mounted(place: Path) -> bool:
    """Return whether something is mounted at a path, also where what served it is dead."""
    escaped = str(place).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
    return any(line.split()[4] == escaped for line in Path("/proc/self/mountinfo").read_text().splitlines())


def unmount(place: Path, timeout: float = 10) -> None:
    """Take away all that is mounted at a path, once nobody is there.

    A process that was killed has left its control group before the kernel has let go of its files and its mounts, and
    whoever asks this machine how full its disks are is there for a moment, too.

    Raises:
        LabError: something is there after `timeout` seconds; the message names the processes.
    """

    deadline = time.monotonic() + timeout
    while mounted(place):
        done = run(["umount", place], check=False)
        if done.returncode and "busy" not in done.stderr:
            raise LabError(f"`umount {place}` failed with status {done.returncode}: {done.stderr.strip()}")
        if done.returncode and time.monotonic() > deadline:
            raise LabError(f"{place} stays mounted, in use by {', '.join(users(place)) or 'nothing that can be seen'}")
        if done.returncode:
            time.sleep(0.02)


def users(place: Path) -> list[str]:
    """Return the processes, as `123 tail`, that have a file or a folder of what is mounted at a path open."""
    device = place.stat().st_dev
    found = []
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda entry: int(entry.name)):
        try:
            links = [process / "cwd", process / "root", *(process / "fd").iterdir()]
            if any(_device(link) == device for link in links):
                found.append(f"{process.name} {(process / 'comm').read_text().strip()}")
        except OSError:  # it ended
            continue
    return found


def _device(link: Path) -> int | None:
    try:
        return link.stat().st_dev
    except OSError:  # closed, or a socket's that is gone
        return None


def swapoff(file: Path) -> None:
    """Stop swapping on a file, if it is swap in use under whatever path."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.swapoff(os.fsencode(file))  # EINVAL: not in use
