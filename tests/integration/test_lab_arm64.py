"""The lab's arm64 hosts: what a board's own architecture shows, and that nothing stays behind of what runs it."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import cache, emulation, names
from lab.errors import run
from lab.faults import Faults
from lab.lab import Lab
from lab.waiting import wait_for

from .labs import ANSIBLE, COMMAND, crash, new_name, nothing_stays, traceless

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")

FLWR = next(
    line
    for line in (names.REPOSITORY / "files/constraints/fleet.txt").read_text(encoding="utf-8").splitlines()
    if line.startswith("flwr==")
)
FLEET = {
    "hosts": [
        {"name": "pi", "kind": "raspberry-pi-4", "memory": 1024, "arch": "arm64"},
        {"name": "orin", "kind": "jetson-orin-nano", "memory": 1024, "arch": "arm64"},
    ]
}


@pytest.fixture(scope="module", autouse=True)
def _in_the_cache() -> None:
    if reason := cache.absent("arm64"):
        pytest.skip(reason)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with traceless(FLEET, tmp_path_factory.mktemp("state")) as up:
        yield up


def test_nothing_stays_after_a_crash(tmp_path: Path) -> None:
    file = tmp_path / "fleet.json"  # which is YAML
    file.write_text(json.dumps(FLEET), encoding="utf-8")

    def started(lab: names.Names) -> bool:
        return emulation.ENTRY.exists() and any(lab.folder.glob("hosts/*/console.log"))

    crash(started, tmp_path / "state", str(file))


def test_nothing_stays_of_a_build_that_was_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "LAB_CACHE": str(tmp_path)}
    down = [*COMMAND, "--name", new_name(), "down"]
    command = [*COMMAND, "cache", "arm64"]
    with nothing_stays(tmp_path / "state"):
        with subprocess.Popen(command, env=environment, stdout=-3, stderr=-3, start_new_session=True) as build:
            wait_for(lambda: any(tmp_path.glob("*.partial/usr")), 60, "the build did not begin")
            os.killpg(build.pid, signal.SIGKILL)
        wait_for(lambda: not run(["pgrep", "--session", str(build.pid)], check=False).stdout, 10, "the build goes on")
        (other := tmp_path / "other").mkdir()
        (other / "build.lock").touch()
        subprocess.run(down, env={**environment, "LAB_CACHE": str(other)}, check=True, stdout=-3)
        assert emulation.ENTRY.exists()  # which is for builds of that cache only
        subprocess.run(down, env=environment, check=True, stdout=-3)


def test_a_host_is_an_arm64_debian(lab: Lab) -> None:
    for host in lab.hosts:
        assert lab.ssh(host, "systemctl is-system-running --wait").strip() == "running"
    assert lab.ssh("pi", "uname -m; dpkg --print-architecture; sudo -n id -un").split() == ["aarch64", "arm64", "root"]
    assert lab.ssh("pi", "free -m | awk '/^Mem:/ {print $2}'").strip() == "1024"
    assert lab.ssh("orin", "sudo nvpmodel -q").splitlines()[-1] == "2"


def test_ansible_sees_the_boards_architecture(lab: Lab) -> None:
    module = ["-m", "ansible.builtin.setup", "-a", "gather_subset=!all filter=ansible_architecture"]
    facts = run([*ANSIBLE, "-i", str(lab.inventory), *module], timeout=120).stdout
    assert len(re.findall(r"ansible_architecture\W+aarch64", facts)) == len(lab.hosts)


def test_reboot(lab: Lab) -> None:
    started = lab.ssh("orin", "touch ~/stays; systemctl show --value --property=UserspaceTimestampMonotonic")
    Faults(lab).reboot("orin")
    assert lab.ssh("orin", "systemctl show --value --property=UserspaceTimestampMonotonic") != started
    assert lab.ssh("orin", "ls ~").split() == ["stays"]
    assert lab.ssh("orin", "systemctl is-system-running --wait").strip() == "running"


def test_flwr_comes_as_wheels_and_imports(lab: Lab) -> None:
    """By uv, because each program's code is translated as it runs: pip takes most of two minutes for the same."""
    wheels = "install --quiet --only-binary=:all:"
    pip = "PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python3 -m pip"
    lab.ssh("pi", f"{pip} {wheels} --target /tmp/uv uv && /tmp/uv/bin/uv venv --quiet /tmp/v", timeout=300)
    lab.ssh("pi", f"/tmp/uv/bin/uv pip {wheels} --python /tmp/v {FLWR}", timeout=300)
    show = "import flwr, grpc; print(flwr.__version__, grpc._cython.cygrpc.__file__)"
    version, library = lab.ssh("pi", f"/tmp/v/bin/python -c '{show}'", timeout=300).split()
    assert f"flwr=={version}" == FLWR
    assert library.endswith("-aarch64-linux-gnu.so")
