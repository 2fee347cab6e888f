"""Kinds of boards: what a host shows of the board that it pretends to be.

A kind is one file in `kinds/`. A container cannot show a device tree (`/proc` is the kernel's): it is laid at
:data:`DEVICE_TREE`, which the inventory hands to the roles as `fleet_device_tree`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .errors import LabError
from .schema import Reader, read_yaml

HERE = Path(__file__).parent
DEVICE_TREE = "/opt/lab/device-tree"
KEYS = (
    "extends", "group", "user", "memory", "cpus", "model", "compatible", "files", "commands",
    "packages", "links",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One board.

    Attributes:
        name: the kind's file name without its suffix.
        group: the inventory group of its hosts: server, raspberry_pis or jetsons.
        user: the account with sudo that its image ships.
        memory: MiB where the fleet does not say.
        cpus: cores where the fleet does not say.
        model: text of the device tree's `model`; empty for a machine without a device tree.
        compatible: the entries of the device tree's `compatible`.
        files: text of files, by absolute path.
        commands: stand-ins (a file of `standins/`), by absolute path.
        packages: versions of the vendor's packages that dpkg shall show as installed.
        links: symbolic links' targets, by absolute path.
    """

    name: str
    group: str
    user: str
    memory: int
    cpus: int
    model: str
    compatible: tuple[str, ...]
    files: dict[str, str]
    commands: dict[str, str]
    packages: dict[str, str]
    links: dict[str, str]

    def install(self, root: Path) -> None:
        """Lay everything that this board shows into the root file system at `root`."""
        if self.model:
            tree = root / DEVICE_TREE.lstrip("/")
            # The kernel's properties end in NUL and have no line ending.
            write(tree / "model", self.model + "\0")
            write(tree / "compatible", "".join(entry + "\0" for entry in self.compatible))
        for path, text in self.files.items():
            write(root / path.lstrip("/"), text)
        for path, command in self.commands.items():
            write(root / path.lstrip("/"), (HERE / "standins" / command).read_text(encoding="utf-8"), 0o755)
        for path, target in self.links.items():
            place = root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(target)
        for package, version in self.packages.items():
            _register(root, package, version)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file of exactly these rights, with its folders; a link there is replaced, not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
    path.chmod(mode)


def _register(root: Path, package: str, version: str) -> None:
    """Tell dpkg of a package without files."""
    entry = f"Package: {package}\nStatus: install ok installed\nMaintainer: the lab\nArchitecture: all\n"
    with (root / "var/lib/dpkg/status").open("a", encoding="utf-8") as status:
        status.write(f"{entry}Version: {version}\nDescription: stand-in of the lab\n\n")
    for suffix in ("list", "md5sums"):
        write(root / f"var/lib/dpkg/info/{package}.{suffix}", "")


def names() -> list[str]:
    """Return the kinds that a fleet can name, sorted."""
    return sorted(path.stem for path in (HERE / "kinds").glob("*.yml") if not path.stem.startswith("_"))


@cache
def load(name: str) -> Kind:
    """Read a kind, with what it extends.

    Raises:
        LabError: there is no such kind, or its file is wrong.
    """
    if name not in names():
        raise LabError(f"unknown kind {name!r}; there are {', '.join(names())}")
    data = _merged(name)
    reader = Reader(data, f"kinds/{name}.yml", KEYS)
    return Kind(
        name=name,
        group=reader.choice("group", ("server", "raspberry_pis", "jetsons")),
        user=reader.text("user"),
        memory=int(reader.number("memory", 1024, 64, 2**20)),
        cpus=int(reader.number("cpus", 1, 1, 256)),
        model=reader.text("model") if "model" in data else "",
        compatible=tuple(str(entry) for entry in reader.sequence("compatible")),
        files=reader.mapping("files"),
        commands=reader.mapping("commands"),
        packages=reader.mapping("packages"),
        links=reader.mapping("links"),
    )


def _merged(name: str) -> dict[str, object]:
    path = HERE / "kinds" / f"{name}.yml"
    data = dict(Reader(read_yaml(path), str(path), KEYS).data)
    if "extends" not in data:
        return data
    merged = _merged(str(data.pop("extends")))
    for key, value in data.items():
        below = merged.get(key)
        merged[key] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
