"""A host that is a virtual machine: its own arm64 kernel, under qemu-system."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from . import image, inventory, network
from .disk import unmount
from .errors import LabError, run
from .host import Host, detached
from .kind import write
from .registries import Registries

OVERHEAD = 512  # MiB of qemu's own: translated code (128) and devices
MACHINE = ("-M", "virt", "-cpu", "cortex-a72", "-accel", "tcg,tb-size=128", "-nodefaults", "-display", "none")
# The firmware of a board hands its file's words to the kernel, here those of the machine come after them.
COMMAND_LINE_FILE = "/boot/firmware/cmdline.txt"
COMMAND_LINE = "root=/dev/vda rw console=ttyAMA0 net.ifnames=0"
LOOP = r"""
while :; do
  words=$(debugfs -R 'cat {file}' {disk} 2>/dev/null | head -n 1)
  {qemu} -append "$words {line}"
  tail -c 400 {console} | grep -q 'reboot: Restarting system' || exit
done
"""


class VirtualMachine(Host):
    """One virtual machine of a lab, with the interface of a :class:`~lab.host.Host`."""

    @property
    def device_tree(self) -> Path:
        """The device tree that names the board."""
        return self.disk.folder / "board.dtb"

    @property
    def _machine(self) -> list[str]:
        cores = max(1, round(self.spec.cpus))
        return ["qemu-system-aarch64", *MACHINE, "-m", str(self.spec.memory), "-smp", str(cores)]

    def install(self, lower: Path, public_key: str, registries: Registries) -> None:
        """Make the disk and the device tree; `lower` is the image's folder."""
        disk = self.disk
        disk.folder.mkdir(parents=True, exist_ok=True)
        run(["cp", "--sparse=always", "--force", lower / image.DISK, disk.image])
        run(["truncate", "--size", f"{self.spec.disk}M", disk.image])
        run(["resize2fs", "-f", disk.image])
        disk.root.mkdir(exist_ok=True)
        run(["mount", "-o", "loop", disk.image, disk.root])
        self.personalise(disk.root, public_key, registries)
        address = f"Address={self.address}/24\nGateway={self.names.gateway}\nLinkLocalAddressing=no\n"
        text = f"[Match]\nName={network.CABLE}\n\n[Network]\n{address}"
        write(disk.root / "etc/systemd/network/10-lab.network", text)
        wants = disk.root / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
        wants.parent.mkdir(parents=True, exist_ok=True)
        wants.symlink_to("/lib/systemd/system/systemd-networkd.service")
        unmount(disk.root)
        for name in (image.KERNEL, image.INITRD):
            run(["cp", "--reflink=auto", lower / name, disk.folder / name])
        self._make_device_tree()

    def _make_device_tree(self) -> None:
        words = self._machine
        words[words.index("virt")] = f"virt,dumpdtb={self.device_tree}"
        run(words)
        if self.spec.kind.model:
            run(["fdtput", "-t", "s", self.device_tree, "/", "model", self.spec.kind.model])
            names = [*self.spec.kind.compatible, "linux,dummy-virt"]
            run(["fdtput", "-t", "s", self.device_tree, "/", "compatible", *names])

    def start(self, lxcfs: Path, folders: Sequence[Path]) -> None:
        """Boot it, by a process that starts it again when it reboots; it does not see `folders`."""
        folder, console = self.disk.folder, self.disk.folder / "console.log"
        cable = f"tap,id=cable,ifname={self.names.interface(self.index)},script=no,downscript=no"
        qemu = [
            *self._machine, "-no-reboot", "-serial", "stdio", "-dtb", self.device_tree,
            "-kernel", folder / image.KERNEL, "-initrd", folder / image.INITRD,
            "-drive", f"file={str(self.disk.image).replace(',', ',,')},format=raw,if=virtio,discard=unmap",
            "-netdev", cable, "-device", f"virtio-net-pci,netdev=cable,romfile=,mac={self.names.mac(self.address)}",
            "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
        ]  # fmt: skip
        loop = LOOP.format(
            file=COMMAND_LINE_FILE, disk=shlex.quote(str(self.disk.image)), line=COMMAND_LINE,
            qemu=shlex.join(map(str, qemu)), console=shlex.quote(str(console)),
        )  # fmt: skip
        memory = self.spec.memory + OVERHEAD
        self.group.make(memory, self.spec.cpus)
        with console.open("ab") as output:
            detached([*self.group.prefix(memory, self.spec.cpus), "/bin/sh", "-c", loop], output)

    def leader(self) -> int:
        """Return the process that is the machine.

        Raises:
            LabError: the host does not run.
        """
        for pid in sorted(self.group.processes()):
            comm = Path(f"/proc/{pid}/comm")
            if comm.exists() and comm.read_text(encoding="utf-8").startswith("qemu-system"):
                return pid
        raise LabError(f"host {self.spec.name} does not run")

    def exec(self, *argv: str, timeout: float | None = 60) -> str:
        """Run a command inside as root, over ssh: there is no other way in."""
        self.leader()
        options: list[str | Path] = ["-F", self.names.folder / inventory.SSH_CONFIG, "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        command = shlex.join(["sudo", "-n", "--", *argv])
        return run(["ssh", *options, self.spec.name, command], timeout=timeout).stdout

    def reboot(self) -> None:
        """Ask it to reboot, which may end the connection before the answer."""
        self.leader()
        with contextlib.suppress(LabError):
            super().reboot()

    def shape(self, *words: str, check: bool = True) -> None:
        """Run `tc` for the host's own end of its cable."""
        self.exec("sh", "-c", f"tc {shlex.join(words)}{'' if check else ' || true'}")

    def move_clock(self, seconds: float) -> None:
        """Move its clock, which is its own, by so many seconds from the machine's."""
        self.exec("date", "--set", f"@{time.time() + seconds:.1f}")
