"""lxcfs: the files of /proc that show a host its own limits instead of the machine's."""

from __future__ import annotations

from pathlib import Path

from .cgroups import Group
from .disk import unmount
from .host import detached
from .waiting import wait_for

MEMORY = 256  # MiB
CPUS = 1


class Lxcfs:
    """The lxcfs of one lab.

    Attributes:
        folder: where its files are.
        group: its control group.
    """

    def __init__(self, lab_folder: Path, group: Group) -> None:
        self.folder = lab_folder / "lxcfs"
        self.group = group

    def start(self) -> None:
        """Start it and wait for its files."""
        self.folder.mkdir()
        log, pid = (self.folder.with_suffix(suffix) for suffix in (".log", ".pid"))
        self.group.make(MEMORY, CPUS)
        argv = ["lxcfs", "--foreground", "--enable-cfs", f"--pidfile={pid}", str(self.folder)]
        with log.open("ab") as output:
            detached([*self.group.prefix(MEMORY, CPUS), *argv], output)
        wait_for(lambda: (self.folder / "proc" / "meminfo").exists(), 10, f"lxcfs did not start ({log})")

    def remove(self) -> None:
        """End it and take its files away."""
        self.group.remove()
        unmount(self.folder)
