"""Fleets: which hosts there are, read from a small YAML file and checked before anything is made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import emulation
from . import kind as kinds
from .errors import LabError
from .schema import Reader, read_yaml

DEFAULT = Path(__file__).parent / "fleets" / "default.yml"
ARCHITECTURES = ("amd64", "arm64")
SYSTEMS = ("debian-12",)
DEFAULT_ARCH = {"container": "amd64", "vm": "arm64"}
MACHINES = tuple(DEFAULT_ARCH)
MAX_HOSTS = 200  # addresses .11 and up in a /24
HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]")


@dataclass(frozen=True)
class HostSpec:
    """One host as the fleet file describes it.

    Attributes:
        name: its inventory name and host name.
        kind: the board it pretends to be.
        memory: MiB.
        cpus: cores, or a share of one.
        disk: MiB of its own file system.
        arch: Debian's name of its architecture.
        os: the system on its disk.
        machine: a container of systemd-nspawn, or a virtual machine of QEMU.
        docker: whether a Docker engine can run in it; in a virtual machine it always can.
    """

    name: str
    kind: kinds.Kind
    memory: int
    cpus: float
    disk: int
    arch: str
    os: str
    machine: str
    docker: bool = False

    @property
    def emulated(self) -> bool:
        """Whether this machine needs qemu to run its programs."""
        return self.arch in emulation.ARCHITECTURES


@dataclass(frozen=True)
class Fleet:
    """The hosts of one lab, in the order of their addresses."""

    hosts: tuple[HostSpec, ...]

    def dump(self) -> dict[str, Any]:
        """Return the data that :func:`parse` makes this fleet of."""
        return {"hosts": [{**vars(host), "kind": host.kind.name} for host in self.hosts]}


def load(path: Path) -> Fleet:
    """Read a fleet file.

    Raises:
        LabError: the file or a value in it is wrong; the message names it and what is allowed.
    """
    return parse(read_yaml(path), str(path))


def parse(data: Any, source: str) -> Fleet:
    """Check a fleet's data; `source` names it in refusals.

    Raises:
        LabError: a value is wrong.
    """
    entries = Reader(data, source, ("hosts",)).sequence("hosts")
    if not 1 <= len(entries) <= MAX_HOSTS:
        raise LabError(f"{source}: hosts must list 1 to {MAX_HOSTS} hosts, not {len(entries)}")
    hosts = tuple(_host(entry, f"{source}: host {number}") for number, entry in enumerate(entries, 1))
    seen: set[str] = set()
    for host in hosts:
        if host.name in seen:
            raise LabError(f"{source}: two hosts are named {host.name!r}")
        seen.add(host.name)
    servers = [host.name for host in hosts if host.kind.group == "server"]
    if len(servers) > 1:
        raise LabError(f"{source}: a fleet has one server at most, not {', '.join(servers)}")
    return Fleet(hosts)


def _host(data: Any, source: str) -> HostSpec:
    reader = Reader(data, source, ("name", "kind", "memory", "cpus", "disk", "arch", "os", "machine", "docker"))
    name = reader.text("name")
    if not HOST_NAME.fullmatch(name):
        raise LabError(f"{source}: name must be 2 to 32 of a-z, 0-9 and -, from a letter on, not {name!r}")
    reader.source = f"{source} ({name})"
    machine = reader.choice("machine", MACHINES, "container")
    kind = kinds.load(reader.choice("kind", kinds.names()))
    return HostSpec(
        name=name,
        kind=kind,
        memory=int(reader.number("memory", kind.memory, 64, 2**20)),
        cpus=reader.number("cpus", kind.cpus, 0.1, 256),
        disk=int(reader.number("disk", 16384, 256, 2**22)),
        arch=reader.choice("arch", ARCHITECTURES if machine == "container" else ("arm64",), DEFAULT_ARCH[machine]),
        os=reader.choice("os", SYSTEMS, "debian-12"),
        machine=machine,
        docker=reader.flag("docker"),
    )
