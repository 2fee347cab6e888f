"""Packages of a platform: pinned, fetched and packed once on the controller, for every device of that platform.

A fleet of twenty boards costs one download, and a board needs no way to a package index. uv resolves, because it takes
the environment markers of the platform that is asked for, where pip takes those of the machine that it runs on; pip
fetches, because it knows the user's indexes, mirrors and folders. Both check the hashes.

`python -m fleet.wheels lock …` prints the pinned versions; `… pack …` prints the path of a tar archive with the wheels
that a device lacks, the lock and uv itself, which installs them there.
"""

from __future__ import annotations

import argparse
import ast
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

UV = Path(sys.executable).parent / "uv"  # flwr brings it
OLDEST_GLIBC = 17  # manylinux2014, PEP 599
KEPT = 86400  # seconds that an archive is kept, for another playbook may be handing it out
# The steps that uv knows beyond that one.
UV_GLIBC = (28, *range(31, 41))


class WheelError(Exception):
    """The packages cannot be had; one line for the user."""


@dataclass(frozen=True)
class Platform:
    """What decides which wheels run on a device: architecture, CPython's version, and glibc's (PEP 600)."""

    architecture: str
    python: str
    glibc: str

    def __str__(self) -> str:
        return f"{self.architecture}-cp{self.python.replace('.', '')}-glibc{self.glibc}"

    @property
    def words(self) -> str:
        """The platform in words, for the user."""
        return f"{self.architecture}, Python {self.python}, glibc {self.glibc}"

    @property
    def minor(self) -> int:
        """glibc's minor version; its major one has been 2 since 1997."""
        return int(self.glibc.split(".")[1])

    @property
    def uv(self) -> str:
        """The newest platform of uv's that this one satisfies."""
        known = [minor for minor in UV_GLIBC if minor <= self.minor]
        return f"{self.architecture}-manylinux_2_{max(known, default=OLDEST_GLIBC)}"

    @property
    def pip(self) -> list[str]:
        """pip's options for this platform."""
        names = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(5, self.minor + 1)), "linux"]
        abi = f"cp{self.python.replace('.', '')}"
        options = ["--implementation", "cp", "--python-version", self.python]
        options += [word for name in (abi, "abi3", "none") for word in ("--abi", name)]
        return options + [word for name in names for word in ("--platform", f"{name}_{self.architecture}")]


def pip_settings(index: str = "") -> dict[str, str]:
    """Return the user's pip settings, of its files and its environment, by name (`index-url`, `find-links` …).

    `index` is one more index.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True, timeout=60
    )
    settings = {}
    for line in sorted(done.stdout.splitlines(), reverse=True):  # the environment's, `:env:.`, win
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    if index:
        settings["extra-index-url"] = f"{index} {settings.get('extra-index-url', '')}".strip()
    return settings


def uv_options(settings: dict[str, str]) -> list[str]:
    """Say the user's pip settings to uv, which reads none of them."""
    options = ["--index-strategy", "unsafe-best-match"]  # as pip: the best of all indexes
    if "index-url" in settings:
        options += ["--default-index", settings["index-url"]]
    for url in settings.get("extra-index-url", "").split():
        options += ["--index", url]
    for place in settings.get("find-links", "").split():
        options += ["--find-links", place]
    return options


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Return the environment of uv and pip: certificates and indexes, for both."""
    own = {"SSL_CERT_FILE": settings["cert"]} if "cert" in settings else {}
    if "extra-index-url" in settings:
        own["PIP_EXTRA_INDEX_URL"] = settings["extra-index-url"]
    return {**os.environ, "UV_NO_PROGRESS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **own}


@dataclass(frozen=True)
class Cache:
    """The controller's folder of locks and wheels of one platform."""

    folder: Path
    platform: Platform
    index: str = ""

    @property
    def wheels(self) -> Path:
        """The folder of the wheels, which all locks of the platform share."""
        return self.folder / str(self.platform) / "wheels"

    def lock(self, names: Sequence[str], constraints: Sequence[Path]) -> Path:
        """Return the file that pins `names` and all they need, made at the first time and then kept.

        Raises:
            WheelError: there is no set of wheels for this platform.
        """
        settings = pip_settings(self.index)
        wanted = "\n".join(sorted({*names, "uv"}))
        bounds = "".join(path.read_text(encoding="utf-8") for path in constraints)
        indexes = {name: settings.get(name) for name in ("index-url", "extra-index-url", "find-links")}
        key = hashlib.sha256(json.dumps([wanted, bounds, indexes]).encode()).hexdigest()[:16]
        path = self.wheels.parent / f"{key}.lock"
        if path.is_file():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        options = ["--python-platform", self.platform.uv, "--python-version", self.platform.python]
        options += ["--only-binary", ":all:", "--generate-hashes", "--no-annotate", "--no-header", "--no-config"]
        options += [word for bound in constraints for word in ("--constraints", str(bound))]
        done = subprocess.run(
            [str(UV), "pip", "compile", "-", "--quiet", *options, *uv_options(settings)],
            input=wanted,
            env=environment(settings),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise WheelError(f"no wheels for {self.platform.words}: {_folded(done.stderr)}")
        partial = path.with_suffix(".partial")
        partial.write_text(done.stdout, encoding="utf-8")
        partial.replace(path)
        return path

    def fetch(self, lock: Path) -> None:
        """Bring every wheel of a lock here.

        Raises:
            WheelError: one cannot be had.
        """
        pins = versions(lock)
        if all(find_wheel(self.wheels, name, version) for name, version in pins.items()):
            return
        settings = pip_settings(self.index)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += [*self.platform.pip, "--dest", str(self.wheels), "--requirement", str(lock)]
        done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise WheelError(f"wheels for {self.platform.words} cannot be fetched: {_folded(' '.join(errors[-2:]))}")

    def pack(self, lock: Path, names: Sequence[str]) -> Path:
        """Return an archive with the lock, the wheels of `names` and an executable uv, fetched where they are not here.

        Raises:
            WheelError: a wheel cannot be had.
        """
        key = hashlib.sha256(json.dumps([lock.name, sorted(names)]).encode()).hexdigest()[:16]
        path = self.wheels.parent / f"{key}.tar"
        if path.is_file():
            return path
        self.fetch(lock)
        pins = versions(lock)
        partial = path.with_suffix(".partial")
        with tarfile.open(partial, "w") as archive:
            archive.add(lock, "lock.txt")
            for name in sorted(names):
                wheel = self._fetched(name, pins[name])
                archive.add(wheel, wheel.name)
            _add_uv(archive, self._fetched("uv", pins["uv"]))
        for old in self.wheels.parent.glob("*.tar"):  # quickly made again, and large
            if old.stat().st_mtime < time.time() - KEPT:
                old.unlink()
        partial.replace(path)
        return path

    def _fetched(self, name: str, version: str) -> Path:
        wheel = find_wheel(self.wheels, name, version)
        if wheel is None:
            raise WheelError(f"{name}=={version} was fetched for {self.platform.words}, but is not there")
        return wheel


def versions(lock: Path) -> dict[str, str]:
    """Return the pinned version of each package of a lock."""
    lines = (line.split()[0] for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line)
    return dict(line.split("==", 1) for line in lines)


def find_wheel(folder: Path, name: str, version: str) -> Path | None:
    """Return the wheel of a pinned package, if it is there (its name is as in PEP 427)."""
    for path in folder.glob("*.whl"):
        own, its_version, _ = path.name.split("-", 2)
        if (own.lower().replace(".", "_"), its_version) == (name.replace("-", "_"), version):
            return path
    return None


def _add_uv(archive: tarfile.TarFile, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        inside = next(name for name in files.namelist() if name.endswith("/scripts/uv"))
        content = files.read(inside)
    entry = tarfile.TarInfo("uv")
    entry.size, entry.mode = len(content), 0o755
    archive.addfile(entry, BytesIO(content))


def _folded(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let one process at a time work in a folder; another waits."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "in-use").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Run one of the commands; print its answer as JSON, or one line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--index", default="", help="an index besides those of pip's settings")
    for name in ("architecture", "python", "glibc"):
        parser.add_argument(f"--{name}", required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    lock = commands.add_parser("lock")
    lock.add_argument("--constraints", type=Path, action="append", default=[])
    lock.add_argument("names", nargs="+")
    pack = commands.add_parser("pack")
    pack.add_argument("lock", type=Path)
    pack.add_argument("names", nargs="+")
    given = parser.parse_args()
    cache = Cache(given.cache.expanduser(), Platform(given.architecture, given.python, given.glibc), given.index)
    try:
        with held(cache.folder / str(cache.platform)):
            if given.command == "lock":
                path = cache.lock(given.names, given.constraints)
                print(json.dumps({"lock": str(path), "packages": versions(path)}))
            else:
                print(json.dumps({"archive": str(cache.pack(given.lock, given.names))}))
    except WheelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
