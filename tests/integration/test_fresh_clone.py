"""What a newcomer does: clone, `make run`, as an ordinary user."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from ports import free_ports

from .conftest import PROJECT

PATH = "/usr/local/bin:/usr/bin:/bin"  # not the tests' own environment


@dataclass(frozen=True)
class Newcomer:
    """An ordinary user with a home and a clone of the project in it."""

    name: str
    uid: int
    gid: int
    home: Path

    @property
    def clone(self) -> Path:
        return self.home / "flowerbed"

    def make(self, *words: str, timeout: float = 1500) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "http", "HTTP", "SSL_"))}
        own = Path.home() / ".config/pip/pip.conf"  # the newcomer's home is another
        if os.getuid() != 0 and own.exists():
            kept.setdefault("PIP_CONFIG_FILE", str(own))
        return subprocess.run(
            ["make", *words],
            cwd=self.clone,
            env={**kept, "PATH": PATH, "HOME": str(self.home), "USER": self.name, "LANG": "C.UTF-8"},
            user=self.uid if os.getuid() == 0 else None,
            group=self.gid if os.getuid() == 0 else None,
            extra_groups=[] if os.getuid() == 0 else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture(scope="module")
def newcomer() -> Iterator[Newcomer]:
    """A user of its own where root can make one, else the one who runs the tests; gone afterwards."""
    python = shutil.which("python3", path=PATH) or "/bin/false"
    fit = "import sys, venv, ensurepip; assert sys.version_info >= (3, 11)"
    if subprocess.run([python, "-c", fit], check=False).returncode:
        pytest.skip("no python3 of 3.11 or later with venv in /usr/bin or /usr/local/bin")
    is_root = os.getuid() == 0
    with tempfile.TemporaryDirectory(prefix="flowerbed-") as home:
        name = Path(home).name.replace("_", "-").lower() if is_root else pwd.getpwuid(os.getuid()).pw_name
        if is_root:
            subprocess.run(["useradd", "--home-dir", home, "--shell", "/bin/sh", name], check=True)
        entry = pwd.getpwnam(name)
        one = Newcomer(name, entry.pw_uid, entry.pw_gid, Path(home))
        try:
            clone_for(one)
            yield one
        finally:
            one.make("stop")
            if is_root:
                left = [process for process in psutil.process_iter(["uids"]) if process.info["uids"].real == one.uid]
                for process in left:
                    with suppress(psutil.NoSuchProcess):  # it may end meanwhile
                        process.kill()
                psutil.wait_procs(left, timeout=20)
                subprocess.run(["userdel", name], check=True)


def clone_for(newcomer: Newcomer) -> None:
    subprocess.run(["git", "clone", "--quiet", f"file://{PROJECT}", str(newcomer.clone)], check=True)
    superlink, *supernodes = free_ports(5)
    ports = {"superlink_port": superlink, "supernode_port": "{{ " + str(supernodes) + "[supernode_cid | int] }}"}
    with (newcomer.clone / "inventory/group_vars/all.yml").open("a") as file:
        file.writelines(f"{name}: {json.dumps(value)}\n" for name, value in ports.items())
    if os.getuid() == 0:
        for path in (newcomer.home, *newcomer.home.rglob("*")):
            os.chown(path, newcomer.uid, newcomer.gid, follow_symlinks=False)


@pytest.fixture(scope="module")
def first(newcomer: Newcomer) -> str:
    """The output of the first `make run`."""
    done = newcomer.make("run")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_make_run_trains_to_0_90_and_names_the_report(newcomer: Newcomer, first: str) -> None:
    latest = (newcomer.clone / "results/latest").resolve()
    *_, status, report = first.strip().splitlines()
    assert status.startswith("finished: 3 of 3 rounds")
    assert report == f"report: {latest}/report.html"
    last = (latest / "rounds.csv").read_text().splitlines()[-1].split(",")
    assert last[0] == "3"
    assert float(last[2]) >= 0.90


def test_no_gpu_packages_were_installed(newcomer: Newcomer, first: str) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has an NVIDIA GPU, for which they are wanted")
    site = next((newcomer.clone / ".venv/lib").glob("python3*/site-packages"))
    assert not list(site.glob("nvidia_*"))


def test_everything_stays_in_the_clone(newcomer: Newcomer, first: str) -> None:
    outside = {path.name for path in newcomer.home.iterdir()} - {newcomer.clone.name}
    assert outside <= {".ansible", ".cache", ".config", ".local"}, outside  # tools' own caches


def test_a_second_make_run_starts_at_once(newcomer: Newcomer, first: str) -> None:
    planned = newcomer.make("--dry-run", "run").stdout
    assert "run_fl.yml" in planned
    assert "install" not in planned
    assert "provision.yml" not in planned


def test_it_runs_as_the_user(newcomer: Newcomer, first: str) -> None:
    owners = {path.lstat().st_uid for path in newcomer.clone.rglob("*")}
    assert owners == {newcomer.uid}
