"""Control groups: a host's memory and CPU limit, the freezer, and the list of its processes.

Version 1 is driven by its files, below the caller's own groups. Version 2 belongs to systemd: each host is started
in a scope of its own, which systemd limits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import LabError

MOUNT = Path("/sys/fs/cgroup")
# Version 1: where limits are set, what freezes a host, and where systemd-nspawn and the systemd inside look for the
# place that is theirs; in the hybrid set-up that is the empty version 2 beside the others.
CONTROLLERS = ("memory", "cpu", "freezer", "systemd")
HYBRID = "unified"
# What an engine of containers inside makes groups in, besides.
ENGINE = ("blkio", "cpuacct", "cpuset", "devices", "pids")
PERIOD = 100_000  # microseconds


class Group:
    """The control group of one host.

    Attributes:
        name: its path below the caller's group (version 1), as `lab/host`.
        paths: its folder for each controller; one folder, under "", in version 2.
    """

    def __init__(self, name: str, paths: dict[str, Path]) -> None:
        self.name = name
        self.paths = paths

    @property
    def unified(self) -> bool:
        """Whether this is version 2."""
        return "" in self.paths

    def make(self, memory: int, cpus: float) -> None:
        """Make the group with its limits, MiB of memory and cores; in version 2 :meth:`prefix` does it."""
        if self.unified:
            return
        for path in self.paths.values():
            path.mkdir(parents=True, exist_ok=True)
        if cores := self.paths.get("cpuset"):
            for folder in (cores.parent, cores):  # which begin without any, and then nobody may enter
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (folder / name).write_text((folder.parent / name).read_text())
        (self.paths["memory"] / "memory.limit_in_bytes").write_text(str(memory * 2**20))
        (self.paths["cpu"] / "cpu.cfs_period_us").write_text(str(PERIOD))
        (self.paths["cpu"] / "cpu.cfs_quota_us").write_text(str(int(cpus * PERIOD)))

    def prefix(self, memory: int, cpus: float) -> list[str]:
        """Return the words that, before a command, start it inside the group."""
        if self.unified:
            lab, host = self.name.split("/")
            return [
                "systemd-run", "--scope", "--quiet", "--collect", f"--unit={_unit(self.name)}",
                f"--slice={lab}.slice", f"--description=lab host {host}", "-pDelegate=yes",
                f"-pMemoryMax={memory}M", f"-pCPUQuota={cpus * 100:g}%", "-pTasksMax=infinity", "--",
            ]  # fmt: skip
        joins = "".join(f"echo $$ > '{path}/cgroup.procs' && " for path in self.paths.values())
        return ["/bin/sh", "-c", joins + 'exec "$@"', "sh"]

    def processes(self) -> set[int]:
        """Return the processes in the group and below it."""
        found: set[int] = set()
        for path in self.paths.values():
            for folder, _names, _files in os.walk(path):
                with contextlib.suppress(OSError):  # a group may go while we look
                    found.update(int(line) for line in Path(folder, "cgroup.procs").read_text().split())
        return found

    def kill(self, timeout: float = 10) -> None:
        """End every process of the group at once, and wait until they are gone.

        Raises:
            LabError: something is left after `timeout` seconds.
        """
        self.freeze(False)
        deadline = time.monotonic() + timeout
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise LabError(f"processes of {self.name} do not end: {', '.join(map(str, sorted(left)))}")
            time.sleep(0.01)

    def freeze(self, frozen: bool) -> None:
        """Stop or go on with every process of the group, as a board that hangs."""
        if self.unified:
            files = {self.paths[""] / "cgroup.freeze": "1" if frozen else "0"}
        else:
            files = {self.paths["freezer"] / "freezer.state": "FROZEN" if frozen else "THAWED"}
        for file, value in files.items():
            if file.exists():
                file.write_text(value)

    def memory(self) -> int:
        """Return the bytes of memory that the group uses."""
        file = "memory.current" if self.unified else "memory.usage_in_bytes"
        return int((self.paths["" if self.unified else "memory"] / file).read_text())

    def remove(self, timeout: float = 10) -> None:
        """Kill the host, and remove its group with those below it, and the lab's when it was the last."""
        deadline = time.monotonic() + timeout
        while any(path.exists() for path in self.paths.values()):
            self.kill(timeout)
            for path in self.paths.values():
                for folder in [*_below(path), path]:
                    with contextlib.suppress(OSError):  # a process came in between, or systemd was faster
                        folder.rmdir()
            if time.monotonic() > deadline:
                raise LabError(f"the control group {self.name} does not go")
        for path in self.paths.values():
            with contextlib.suppress(OSError):  # the lab has other hosts
                path.parent.rmdir()


def _below(path: Path) -> Iterator[Path]:
    """Yield the groups below a group, children first."""
    for folder, names, _files in os.walk(path, topdown=False):
        for name in names:
            yield Path(folder) / name


def _unit(name: str) -> str:
    return name.replace("/", "-") + ".scope"


def group(name: str, *, engine: bool = False) -> Group:
    """Return the group `lab/host` for the caller's place in the hierarchy, without making it.

    With `engine` a Docker engine can make groups below it.

    Raises:
        LabError: control groups here are neither version 1 nor version 2 under systemd.
    """
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller.removeprefix("name=") or HYBRID] = path.lstrip("/")
    if "memory" in own:
        needed = [*CONTROLLERS, *ENGINE] if engine else [*CONTROLLERS]
        missing = [controller for controller in needed if controller not in own]
        if missing:
            raise LabError(f"control groups lack {', '.join(missing)}: mount them below {MOUNT}")
        wanted = [*needed, HYBRID] if (MOUNT / HYBRID).is_dir() else needed
        return Group(name, {key: MOUNT / key / own[key] / name for key in wanted})
    if not Path("/run/systemd/system").is_dir():
        raise LabError("control groups of version 2 are driven through systemd, which does not run here")
    lab, _host = name.split("/")
    return Group(name, {"": MOUNT / f"{lab}.slice" / _unit(name)})
