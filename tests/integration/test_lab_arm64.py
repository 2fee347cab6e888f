"""The lab's arm64 hosts: what a board's own architecture shows, and that nothing stays behind of what runs it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_lab import assert_nothing_stays, new_name  # puts `lab` on the path

# isort: split
from lab import cache, emulation, fleet, footprint, names
from lab.errors import run
from lab.faults import Faults
from lab.lab import Lab, booted
from lab.network import free_subnet
from lab.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")

COMMAND = [sys.executable, str(names.REPOSITORY / "tests" / "lab")]
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


@pytest.fixture(scope="module")
def before() -> dict[str, list[str]]:
    if reason := cache.absent("arm64"):
        pytest.skip(reason)
    with booted(fleet.parse({"hosts": [{"name": "warm-up", "kind": "server"}]}, "warm-up"), new_name()):
        pass
    return footprint.take()


@pytest.fixture(scope="module")
def lab(before: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    state = tmp_path_factory.mktemp("state")
    with booted(fleet.parse(FLEET, "test"), new_name(), state=state) as up:
        yield up
    assert_nothing_stays(before, state)


def test_nothing_stays_after_a_crash(before: dict[str, list[str]], tmp_path: Path) -> None:
    name, subnet = new_name(), str(free_subnet())
    file = tmp_path / "fleet.json"  # which is YAML
    file.write_text(json.dumps(FLEET), encoding="utf-8")
    command = [*COMMAND, "--state", str(tmp_path / "state"), "--name", name]
    with subprocess.Popen([*command, "up", str(file), "--subnet", subnet], stdout=-3, stderr=-3) as up:
        planned = names.parse(name, subnet, tmp_path / "state")
        wait_for(lambda: any(planned.folder.glob("hosts/*/console.log")), 60, "no host was started")
        assert emulation.ENTRY.exists()
        up.send_signal(signal.SIGKILL)
    subprocess.run([*command, "down"], check=True, stdout=-3)
    assert not emulation.ENTRY.exists()
    assert_nothing_stays(before, tmp_path / "state")


def test_nothing_stays_of_a_build_that_was_killed(before: dict[str, list[str]], tmp_path: Path) -> None:
    environment = {**os.environ, "LAB_CACHE": str(tmp_path)}
    command = [*COMMAND, "cache", "arm64"]
    with subprocess.Popen(command, env=environment, stdout=-3, stderr=-3, start_new_session=True) as build:
        wait_for(lambda: any(tmp_path.glob("*.partial/usr")), 60, "the build did not begin")
        os.killpg(build.pid, signal.SIGKILL)
    wait_for(lambda: not run(["pgrep", "--session", str(build.pid)], check=False).stdout, 10, "the build goes on")
    assert emulation.ENTRY.exists()
    subprocess.run([*COMMAND, "--name", new_name(), "down"], env=environment, check=True, stdout=-3)
    assert not emulation.ENTRY.exists()
    assert_nothing_stays(before, tmp_path / "state")


def test_a_host_is_an_arm64_debian(lab: Lab) -> None:
    for host in lab.hosts:
        assert lab.ssh(host, "systemctl is-system-running --wait").strip() == "running"
    assert lab.ssh("pi", "uname -m; dpkg --print-architecture; sudo -n id -un").split() == ["aarch64", "arm64", "root"]
    assert lab.ssh("pi", "free -m | awk '/^Mem:/ {print $2}'").strip() == "1024"
    assert lab.ssh("orin", "sudo nvpmodel -q").splitlines()[-1] == "2"


def test_ansible_sees_the_boards_architecture(lab: Lab) -> None:
    ansible = [str(Path(sys.executable).parent / "ansible"), "all", "-i", str(lab.inventory)]
    done = run([*ansible, "-m", "ansible.builtin.ping"], timeout=120)
    assert len(re.findall(r"ping\W+pong", done.stdout)) == len(lab.hosts)
    facts = run([*ansible, "-m", "ansible.builtin.setup", "-a", "filter=ansible_architecture"], timeout=120).stdout
    assert len(re.findall(r"ansible_architecture\W+aarch64", facts)) == len(lab.hosts)


def test_reboot(lab: Lab) -> None:
    started = lab.ssh("orin", "touch ~/stays; systemctl show --value --property=UserspaceTimestampMonotonic")
    Faults(lab).reboot("orin")
    assert lab.ssh("orin", "systemctl show --value --property=UserspaceTimestampMonotonic") != started
    assert lab.ssh("orin", "ls ~").split() == ["stays"]
    assert lab.ssh("orin", "systemctl is-system-running --wait").strip() == "running"


def test_flwr_comes_as_wheels_and_imports(lab: Lab) -> None:
    """By uv, because each program's code is translated as it runs: pip takes most of two minutes for the same."""
    lab.ssh("pi", "python3 -m venv /tmp/v && /tmp/v/bin/pip install --quiet --only-binary=:all: uv 2>&1", timeout=300)
    lab.ssh("pi", f"/tmp/v/bin/uv pip install --quiet --python /tmp/v --only-binary=:all: {FLWR}", timeout=300)
    show = "import flwr, grpc; print(flwr.__version__, grpc._cython.cygrpc.__file__)"
    version, library = lab.ssh("pi", f"/tmp/v/bin/python -c '{show}'", timeout=300).split()
    assert f"flwr=={version}" == FLWR
    assert library.endswith("-aarch64-linux-gnu.so")
