"""A lab: all hosts of a fleet, up and down."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from . import cache, cgroups, emulation, fleet, inventory, names, network, packages, registries
from .cgroups import Group
from .disk import mounted
from .errors import LabError, run
from .host import PATIENCE, Host
from .lxcfs import Lxcfs
from .state import MACHINE, NETWORK_LOCK, SharedSettings, locked, read_json, write_json
from .vm import VirtualMachine
from .waiting import each

PLAN = "plan.json"
LXCFS = "_lxcfs"  # its control group; no host's name starts so
INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH_INSTANCES = 4096  # a systemd in each host takes several of root's
# Folders that ip, systemd-nspawn and lxcfs make on their first use.
MADE_BY_TOOLS = tuple(
    Path("/run", name)
    for name in (
        "netns", "lxcfs", "lxcfs/controllers", "lxcfs/root",
        "systemd/nspawn", "systemd/nspawn/locks", "systemd/nspawn/propagate",
    )
)  # fmt: skip
KINDS: dict[str, type[Host]] = {"container": Host, "vm": VirtualMachine}
GroupPaths = dict[str, dict[str, str]]  # by host and controller


class Lab:
    """A lab that is up, or is to be taken down.

    Attributes:
        names: its names and addresses.
        fleet: its hosts as described.
        hosts: its hosts, by name.
        folders: folders of the machine that every host sees, read-only.
    """

    def __init__(self, lab: names.Names, hosts: fleet.Fleet, groups: GroupPaths | None = None) -> None:
        self.names = lab
        self.fleet = hosts

        def group(host: str, *, engine: bool = False) -> Group:
            name = lab.cgroup(host)
            if groups is None:
                return cgroups.group(name, engine=engine)
            return Group(name, {controller: Path(path) for controller, path in groups[host].items()})

        numbered = enumerate(hosts.hosts)
        self.hosts = {
            spec.name: KINDS[spec.machine](lab, index, spec, group(spec.name, engine=spec.docker))
            for index, spec in numbered
        }
        self.lxcfs = Lxcfs(lab.folder, group(LXCFS))
        self.settings = SharedSettings(lab.lab)
        self.folders: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        """The lab's own folder."""
        return self.names.folder

    @property
    def inventory(self) -> Path:
        """The inventory for `ansible-playbook -i`."""
        return self.folder / "inventory.yml"

    @classmethod
    def find(cls, lab: str = names.DEFAULT_NAME, state: Path | None = None) -> Lab:
        """Return the lab of this name, as it was planned.

        Raises:
            LabError: there is none.
        """
        folder = (state or names.STATE) / lab
        plan = read_json(folder / PLAN, None)
        if plan is None:
            raise LabError(f"there is no lab {lab!r} in {folder.parent}")
        hosts = fleet.parse(plan["fleet"], str(folder / PLAN))
        found = cls(names.parse(lab, plan["subnet"], state), hosts, plan["groups"])
        found.folders = tuple(Path(folder) for folder in plan["folders"])
        return found

    @classmethod
    def up(
        cls,
        hosts: fleet.Fleet,
        lab: str = names.DEFAULT_NAME,
        subnet: str = names.DEFAULT_SUBNET,
        state: Path | None = None,
        say: cache.Say = lambda text: None,
    ) -> Lab:
        """Boot a fleet and wait until every host answers ssh. What it made is removed where it fails.

        Raises:
            LabError: not root, something is missing or taken, or a host does not come up.
        """
        if os.geteuid() != 0:
            raise LabError("the lab needs root: it makes network namespaces and mounts (sudo make lab)")
        chosen = names.parse(lab, names.DEFAULT_SUBNET if subnet == "auto" else subnet, state)
        if installed := packages.ensure():
            say(f"installed {' '.join(installed)}")
        found = registries.find()
        cache.prepare(hosts, found, say)
        with locked(chosen.lock, wait=False, remove=True):
            if (chosen.folder / PLAN).exists():
                raise LabError(f"the lab {lab!r} is up already, or was left by a crash: take it down first")
            try:
                with locked(MACHINE / NETWORK_LOCK, wait=True, remove=True):
                    if subnet == "auto":
                        chosen = replace(chosen, subnet=network.free_subnet())
                    if problem := network.taken(chosen):
                        raise LabError(problem)
                    new = cls(chosen, hosts)
                    new.folders = found.folders
                    new._write_plan()
                    network.up(new.names, found, new.settings)
                new._boot(found)
            except BaseException:
                if (chosen.folder / PLAN).exists():
                    say("taking down what was made")
                    new._remove()
                else:
                    _forget(chosen)
                raise
        return new

    def _boot(self, found: registries.Registries) -> None:
        instances = max(int(INSTANCES.read_text()), ENOUGH_INSTANCES)
        self.settings.hold({INSTANCES: str(instances)}, MADE_BY_TOOLS)
        if any(host.spec.emulated for host in self.hosts.values()):
            emulation.enable(self.settings)
        self.lxcfs.start()
        key = self.folder / inventory.KEY
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab {self.names.lab}", "-f", key])

        def boot(host: Host) -> None:
            host.make_host_key()
            if host.spec.machine == "vm":
                network.connect_machine(self.names, host.index)
            else:
                network.connect(self.names, host.index, host.spec.name)
            self.install(host, found)
            self.start(host)

        each(boot, self.hosts.values())
        self.write_known_hosts()
        inventory.write(self.names, self.fleet)
        self._hand_over()
        each(lambda host: host.wait_ssh(PATIENCE), self.hosts.values())

    def install(self, host: Host, found: registries.Registries) -> None:
        """Give a host a fresh disk."""
        public = (self.folder / f"{inventory.KEY}.pub").read_text(encoding="utf-8")
        host.install(cache.base(host.spec, found), public, found)

    def start(self, host: Host) -> None:
        """Switch a host on; it boots in the background."""
        host.start(self.lxcfs.folder, self.folders)

    def _write_plan(self) -> None:
        groups = {host.spec.name: host.group for host in self.hosts.values()} | {LXCFS: self.lxcfs.group}
        paths: GroupPaths = {
            name: {key: str(path) for key, path in group.paths.items()} for name, group in groups.items()
        }
        plan = {
            "subnet": str(self.names.subnet),
            "fleet": self.fleet.dump(),
            "groups": paths,
            "folders": [str(folder) for folder in self.folders],
        }
        write_json(self.folder / PLAN, plan)

    def write_known_hosts(self) -> None:
        """Write known_hosts anew from the hosts' present keys."""
        lines = "".join(host.known_hosts_line() for host in self.hosts.values())
        (self.folder / inventory.KNOWN_HOSTS).write_text(lines, encoding="utf-8")

    def _hand_over(self) -> None:
        """Give what clients read to the user who called sudo."""
        uid, gid = int(os.environ.get("SUDO_UID", "0")), int(os.environ.get("SUDO_GID", "0"))
        (self.folder / "hosts").chmod(0o700)
        for path in [self.folder.parent, self.folder, *self.folder.iterdir()]:
            if path.is_file() or path in (self.folder.parent, self.folder):
                os.chown(path, uid, gid)

    def down(self) -> None:
        """Remove every trace of the lab, whatever state it is in."""
        with locked(self.names.lock, wait=True):
            self._remove()

    @classmethod
    def clear(cls, lab: str, state: Path) -> None:
        """Remove every trace of the lab of this name, also of one that was not planned yet when it crashed."""
        named = names.parse(lab, names.DEFAULT_SUBNET, state)
        if named.folder.exists() or named.lock.exists():
            with locked(named.lock, wait=True):
                if (named.folder / PLAN).exists():
                    cls.find(lab, state)._remove()
                else:
                    _forget(named)

    def _remove(self) -> None:
        self._close_connections()
        each(self._remove_host, self.hosts.values())
        self.lxcfs.remove()
        network.down(self.names)
        self.settings.release()
        left = [path for path in self.folder.rglob("*") if path.is_dir() and mounted(path)]
        if left:  # never delete through a mount
            raise LabError(f"still mounted: {', '.join(map(str, left))}")
        _forget(self.names)

    def _close_connections(self) -> None:
        """End what Ansible holds open, or the next lab at these addresses would stall on it."""
        for socket in self.names.connections.glob("*"):
            with contextlib.suppress(LabError):
                run(["ssh", "-F", "none", "-S", socket, "-O", "exit", "lab"], check=False, timeout=5)

    def _remove_host(self, host: Host) -> None:
        host.remove()
        network.disconnect(self.names, host.index, host.spec.name)

    def ssh_argv(self, host: str, *command: str) -> list[str]:
        """Return the ssh command that runs a command on a host as its user.

        Raises:
            LabError: the lab has no such host.
        """
        self.host(host)
        return ["ssh", "-F", str(self.folder / "ssh_config"), host, *command]

    def ssh(self, host: str, command: str, timeout: float = 60, check: bool = True) -> str:
        """Run a shell command on a host over ssh and return its output.

        Raises:
            LabError: it failed.
        """
        return run(self.ssh_argv(host, command), timeout=timeout, check=check).stdout

    def host(self, name: str) -> Host:
        """Return a host by its name.

        Raises:
            LabError: the lab has no such host.
        """
        if name not in self.hosts:
            raise LabError(f"the lab {self.names.lab!r} has no host {name!r}; it has {', '.join(self.hosts)}")
        return self.hosts[name]


def _forget(lab: names.Names) -> None:
    shutil.rmtree(lab.folder, ignore_errors=True)
    lab.lock.unlink(missing_ok=True)
    if lab.folder.parent.is_dir() and not any(lab.folder.parent.iterdir()):
        lab.folder.parent.rmdir()


def in_folder(state: Path) -> list[str]:
    """Return the names of the labs in a folder of labs, also of those that a crash left."""
    found = {path.stem for path in state.glob("*") if path.suffix == ".lock" or path.is_dir()}
    return sorted(name for name in found if names.LAB_NAME.fullmatch(name))


@contextmanager
def booted(hosts: fleet.Fleet, lab: str, subnet: str = "auto", state: Path | None = None) -> Iterator[Lab]:
    """Boot a fleet for the length of a `with` block; its subnet is a free one."""
    up = Lab.up(hosts, lab, subnet, state)
    try:
        yield up
    finally:
        up.down()
