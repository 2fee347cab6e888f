"""A mixed fleet: a Raspberry Pi, a Jetson of JetPack 6 in a container, one of JetPack 7 in a virtual environment.

The app needs no torch, which would take most of the time; what a CPU fallback says is the roles' scenarios' concern.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from lab import fleet as fleets
from lab import rootfs
from lab.lab import booted
from lab.registries import find

from .conftest import PROJECT, changed_hosts, latest
from .labs import LabFleet, new_name

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root"),
    pytest.mark.timeout(1800),
]

MIXED = PROJECT / "tests" / "lab" / "fleets" / "mixed.yml"
APP = PROJECT / "tests" / "integration" / "foreign_app"
TABLE = {"pi-five": "venv", "orin-nano": "container", "agx-orin": "venv"}
SETTINGS = (f"app={APP}", "container_base=lab:base")
UNUSED = [f"--exclude=./usr/share/{name}" for name in ("doc", "locale", "man", "perl")]  # in an image
ENGINE = "apt-get -qq update && apt-get -qq install --no-install-recommends docker.io >/dev/null 2>&1"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFleet]:
    """The hosts, provisioned by one command.

    As JetPack 6 is flashed, its Jetson has an engine; as no image can be pulled here, it has one that was imported.
    """
    folder = tmp_path_factory.mktemp("mixed")
    with booted(fleets.load(MIXED), new_name(), state=folder / "lab") as lab:
        lab.ssh("orin-nano", f"sudo sh -c '{ENGINE}'", timeout=300)
        base = rootfs.ensure("debian-12", "amd64", find())
        with subprocess.Popen(["tar", "-C", base, *UNUSED, "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(lab.ssh_argv("orin-nano", "sudo docker import - lab:base"), stdin=tar.stdout, check=True)
        made = LabFleet(folder, lab)
        looked = made.play("provision", *SETTINGS, options=("--check", "--diff", "--limit", "orin-nano"))
        assert looked.returncode == 0, looked.stdout + looked.stderr
        done = made.play("provision", *SETTINGS, timeout=1200)
        assert done.returncode == 0, done.stdout + done.stderr
        yield made


def test_each_device_trains_in_what_the_table_says_and_the_run_finishes(fleet: LabFleet) -> None:
    done = fleet.play("run_fl", f"app={APP}", "app_config='nodes=3'")
    assert done.returncode == 0, done.stdout + done.stderr
    folder, record = latest(fleet)
    assert record["status"] == "finished"
    assert {device["host"]: device["runtime"] for device in record["devices"]} == TABLE
    assert {device["flwr"] for device in record["devices"]} == {record["server"]["flwr"]}
    assert "Sent successfully" in (folder / "logs/orin-nano/supernode.log").read_text()


def test_the_supernode_in_a_container_has_its_own_cid_and_key_and_no_more_rights(fleet: LabFleet) -> None:
    cid = list(TABLE).index("orin-nano")
    inside = fleet.lab.ssh("orin-nano", "sudo docker top supernode -eo pid,user,args")
    assert f"partition-id={cid} num-partitions={len(TABLE)}" in inside
    assert "--auth-supernode-private-key=/var/lib/flowerbed/keys/supernode" in inside
    shown = "{{.HostConfig.CapDrop}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.NetworkMode}} {{.HostConfig.Runtime}}"
    told = fleet.lab.ssh("orin-nano", f"sudo docker inspect --format '{shown}' supernode")
    assert told.split() == ["[ALL]", "true", "host", "nvidia"]


def test_a_second_time_changes_nothing(fleet: LabFleet) -> None:
    done = fleet.play("provision", *SETTINGS, options=("--diff",))
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed_hosts(done.stdout) == dict.fromkeys(["localhost", "fl-server", *TABLE], 0), done.stdout


def test_a_container_ends_with_its_service_and_goes_with_its_device(fleet: LabFleet) -> None:
    fleet.lab.ssh("orin-nano", "sudo systemctl stop supernode")
    assert fleet.lab.ssh("orin-nano", "sudo docker ps --all --quiet") == ""
    done = fleet.play("remove_device", "device=orin-nano")
    assert done.returncode == 0, done.stdout + done.stderr
    images = fleet.lab.ssh("orin-nano", "sudo docker image ls --all --format '{{.Repository}}:{{.Tag}}'")
    assert images.split() == ["lab:base"]
    assert fleet.lab.ssh("orin-nano", "ls -d /var/lib/flowerbed /opt/flowerbed 2>/dev/null", check=False) == ""
