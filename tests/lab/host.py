"""One host: its files, and the process that keeps it running."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from . import emulation, network
from .cgroups import Group
from .disk import SWAP_FOLDER, Disk, mounted
from .errors import LabError, run
from .fleet import HostSpec
from .inside import ENGINE, RESET_CLOCK, SET_CLOCK
from .kind import write
from .names import Names
from .registries import Registries
from .rootfs import RELEASES, sources

INSIDE_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NSPAWN = Path("/run/systemd/nspawn")
PATIENCE = 600  # seconds to boot in: 1 where nothing else runs, several under qemu-user, 30 in a virtual machine
REBOOT = 133  # systemd-nspawn's exit status when the host asked to be started again
APT_PATIENCE = 'Acquire::http::Timeout "30";\nAcquire::https::Timeout "30";\nAcquire::Retries "3";\n'
LXCFS = "/opt/lab/lxcfs"  # the folder inside a host
LXCFS_FILES = ("cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "swaps", "uptime")


class Host:
    """One host of a lab.

    Attributes:
        spec: how the fleet describes it.
        index: its number in the fleet, from 0.
        address: its IPv4 address.
        disk: its disk.
        group: its control group.
    """

    def __init__(self, names: Names, index: int, spec: HostSpec, group: Group) -> None:
        self.names = names
        self.index = index
        self.spec = spec
        self.address = names.address(index)
        self.group = group
        self.disk = Disk(names.folder / "hosts" / spec.name)

    @property
    def host_key(self) -> Path:
        """The private half of sshd's key, beside the disk so that a new disk can keep it."""
        return self.disk.folder / "ssh_host_ed25519_key"

    @property
    def machine(self) -> str:
        """The name by which systemd-nspawn tells this host from those of other labs."""
        return self.names.namespace(self.spec.name)

    def make_host_key(self) -> None:
        """Give the host a new identity."""
        self.disk.folder.mkdir(parents=True, exist_ok=True)
        for file in (self.host_key, self.host_key.with_suffix(".pub")):
            file.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.spec.name, "-f", self.host_key])

    def known_hosts_line(self) -> str:
        """Return the line of known_hosts by which clients know this host."""
        kind, key = self.host_key.with_suffix(".pub").read_text(encoding="utf-8").split()[:2]
        return f"{self.address} {kind} {key}\n"

    def install(self, lower: Path, public_key: str, registries: Registries) -> None:
        """Make the disk over the shared root file system `lower`."""
        self.disk.make(self.spec.disk)
        self.disk.mount(lower)
        for path, text in emulation.drop_ins().items() if self.spec.emulated else ():
            write(self.disk.root / path, text)
        self.personalise(self.disk.root, public_key, registries)

    def personalise(self, root: Path, public_key: str, registries: Registries) -> None:
        """Lay on a root file system what tells this host from the others."""
        self._accounts(root, public_key)
        for name in (self.host_key.name, f"{self.host_key.name}.pub"):
            text = (self.disk.folder / name).read_text(encoding="utf-8")
            write(root / "etc/ssh" / name, text, 0o644 if name.endswith(".pub") else 0o600)
        release = RELEASES[self.spec.os]
        for path, text in {
            "etc/hostname": f"{self.spec.name}\n",
            "etc/hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{self.spec.name}\n",
            "etc/machine-id": f"{uuid.uuid4().hex}\n",
            "etc/resolv.conf": "".join(f"nameserver {address}\n" for address in registries.resolvers),
            "etc/apt/sources.list": "".join(f"{line}\n" for line in sources(release)),
            # Without a route to the mirror apt would otherwise hang for minutes.
            "etc/apt/apt.conf.d/90lab": registries.apt + APT_PATIENCE,
            "etc/pip.conf": registries.pip_conf(),
            "etc/uv/uv.toml": registries.uv_toml(),
        }.items():
            if text:
                write(root / path, text)
        if self.spec.docker:
            write(root / "etc/systemd/system/lab-engine.service", ENGINE)
            run(["chroot", root, "systemctl", "--quiet", "enable", "lab-engine"])
        self.spec.kind.install(root)

    def _accounts(self, root: Path, public_key: str) -> None:
        user = self.spec.kind.user
        run(["chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", "--groups", "sudo", user])
        write(root / f"etc/sudoers.d/010_{user}-nopasswd", f"{user} ALL=(ALL) NOPASSWD: ALL\n", 0o440)
        write(root / f"home/{user}/.ssh/authorized_keys", public_key, 0o600)
        accounts = (line.split(":") for line in (root / "etc/passwd").read_text().splitlines())
        uid, gid = next((int(entry[2]), int(entry[3])) for entry in accounts if entry[0] == user)
        for path in (root / f"home/{user}/.ssh", root / f"home/{user}/.ssh/authorized_keys"):
            os.chown(path, uid, gid)
        (root / f"home/{user}/.ssh").chmod(0o700)

    def start(self, lxcfs: Path, folders: Sequence[Path]) -> None:
        """Boot the host, by a process that starts it again when it reboots."""
        space = network.NAMESPACES / self.machine
        nspawn = [
            "nsenter", f"--net={space}",  # or /sys would show the machine's interfaces
            *(["env", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network"] if self.spec.docker else []),
            "systemd-nspawn", "--quiet", "--boot", f"--directory={self.disk.root}",
            f"--machine={self.machine}", f"--hostname={self.spec.name}", "--register=no", "--keep-unit",
            "--private-users=no", "--console=pipe", "--link-journal=no",
            f"--network-namespace-path={space}", "--resolv-conf=off", "--timezone=off",
            "--system-call-filter=@swap", f"--bind={self.disk.swap}:{SWAP_FOLDER}",
            # What is bound below /proc is looked up inside: the folder has to be there first.
            f"--bind-ro={lxcfs}:{LXCFS}",
            *(f"--bind-ro={LXCFS}/proc/{name}:/proc/{name}" for name in LXCFS_FILES),
            *(f"--bind-ro={folder}" for folder in folders),
            *(self._engine() if self.spec.docker else []),
        ]  # fmt: skip
        words = " ".join(shlex.quote(word) for word in nspawn)
        loop = f"while :; do {words}; status=$?; [ $status -eq {REBOOT} ] || exit $status; done"
        self.group.make(self.spec.memory, self.spec.cpus)
        argv = [*self.group.prefix(self.spec.memory, self.spec.cpus), *self._pin(), "/bin/sh", "-c", loop]
        with (self.disk.folder / "console.log").open("ab") as console:
            detached(argv, console)

    def _engine(self) -> list[str]:
        """Return the options with which a Docker engine runs inside: its bridge, its keyrings, its overlays."""
        place = f"--bind={self.disk.docker}:/var/lib/docker"
        return ["--capability=CAP_NET_ADMIN", "--system-call-filter=@keyring", place]

    def _pin(self) -> list[str]:
        """Return the words that show a host no more cores than its share, spread over the machine's."""
        cores = sorted(os.sched_getaffinity(0))
        count = max(1, round(self.spec.cpus))
        if count >= len(cores):
            return []
        mine = [str(cores[(self.index + offset) % len(cores)]) for offset in range(count)]
        return ["taskset", "--cpu-list", ",".join(mine)]

    def remove(self) -> None:
        """Kill the host; take away its control group, its mounts and what systemd-nspawn keeps of it."""
        self.group.remove()
        self.unmount()
        if (propagate := NSPAWN / "propagate" / self.machine).is_dir():
            propagate.rmdir()

    def unmount(self) -> None:
        """Take the disk away from the host, whose processes must be gone."""
        if mounted(self.disk.root):
            tree = self.disk.root.stat()
            (NSPAWN / "locks" / f"inode-{tree.st_dev}:{tree.st_ino}").unlink(missing_ok=True)
        self.disk.unmount()

    def leader(self) -> int:
        """Return the process that is PID 1 inside.

        Raises:
            LabError: the host does not run.
        """
        for pid in sorted(self.group.processes()):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                command = Path(f"/proc/{pid}/comm").read_text().strip()
            except OSError:
                continue
            ids = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if len(ids) > 1 and ids[-1] == "1" and command == "systemd":
                return pid
        raise LabError(f"host {self.spec.name} does not run")

    def exec(self, *argv: str, timeout: float | None = 60) -> str:
        """Run a command inside as root, past SSH and the network, and return its output."""
        enter = ["nsenter", f"--target={self.leader()}", "--mount", "--uts", "--ipc", "--net", "--pid"]
        return run([*enter, "--", *argv], timeout=timeout, env={"PATH": INSIDE_PATH}).stdout

    def shape(self, *words: str, check: bool = True) -> None:
        """Run `tc` for the host's own end of its cable."""
        run(["ip", "netns", "exec", self.machine, "tc", *words], check=check)

    def move_clock(self, seconds: float) -> None:
        """Move the clock of programs that are started from now on, by libfaketime; 0 sets it right."""
        self.exec("sh", "-e", "-c", SET_CLOCK if seconds else RESET_CLOCK, "sh", f"{seconds:+g}")

    def reboot(self) -> None:
        """Ask the host to reboot."""
        self.exec("systemctl", "--no-block", "reboot")

    def wait_ssh(self, timeout: float) -> None:
        """Wait until sshd greets.

        Raises:
            LabError: it did not within `timeout` seconds; the message ends with the console's last line.
        """
        deadline = time.monotonic() + timeout
        while not greets(self.address):
            if time.monotonic() > deadline:
                console = self.disk.folder / "console.log"
                lines = console.read_text(errors="replace").strip().splitlines() if console.exists() else []
                last = lines[-1] if lines else "no output"
                raise LabError(f"host {self.spec.name}: no ssh within {timeout:g} s ({console}: {last})")
            time.sleep(0.05)


def greets(address: str) -> bool:
    """Return whether an SSH server answers at an address."""
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            connection.settimeout(2)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def detached(argv: Sequence[str], output: IO[bytes]) -> None:
    """Start a process that outlives this one and its terminal; its control group is the handle on it."""
    subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/")
