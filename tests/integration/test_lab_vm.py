"""The lab's virtual machine: what a container cannot show, because it is the kernel's own.

These tests run where this file is named: `make test-vm`.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.faults import Faults
from lab.host import greets
from lab.lab import Lab

from .labs import SERVER, skip_unless_named, traceless

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")

FLEET = {
    "hosts": [
        SERVER,
        {"name": "pi", "kind": "raspberry-pi-4", "memory": 512, "cpus": 2, "disk": 4096, "machine": "vm"},
    ]
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Lab]:
    skip_unless_named(__file__, "vm", pytestconfig)
    with traceless(FLEET, tmp_path_factory.mktemp("state")) as up:
        yield up


def test_a_machine_is_the_board_with_its_own_kernel(lab: Lab) -> None:
    assert lab.ssh("pi", "systemctl is-system-running --wait", timeout=300).strip() == "running"
    assert lab.ssh("pi", "tr -d '\\0' < /proc/device-tree/model") == "Raspberry Pi 4 Model B Rev 1.4"
    assert lab.ssh("pi", "uname -m; nproc; id -un; sudo -n id -un").split() == ["aarch64", "2", "pi", "root"]
    assert 400 < int(lab.ssh("pi", "free -m | awk '/^Mem:/ {print $2}'")) < 512
    assert 3500 < int(lab.ssh("pi", "df --output=size -m / | tail -1")) < 4096


def test_memory_of_a_unit_is_limited(lab: Lab) -> None:
    assert lab.ssh("pi", "stat --file-system --format=%T /sys/fs/cgroup").strip() == "cgroup2fs"
    limits = "-p MemoryMax=30M -p MemorySwapMax=0"
    eater = "python3 -c 'x = b\"1\" * (100 << 20)'"
    command = f"sudo systemd-run --quiet --wait --pipe {limits} {eater}; echo status $?"
    assert "status 0" not in lab.ssh("pi", command, timeout=120)
    assert "status 0" in lab.ssh("pi", command.replace("30M", "300M"), timeout=120)


def test_swap_zram_and_sysctl_are_its_own(lab: Lab) -> None:
    here = [Path(path).read_text() for path in ("/proc/swaps", "/proc/sys/vm/swappiness")]
    make = "sudo fallocate -l 64M /swap && sudo chmod 600 /swap && sudo mkswap -q /swap && sudo swapon /swap"
    assert "/swap" in lab.ssh("pi", f"{make} && cat /proc/swaps", timeout=120)
    zram = "sudo modprobe zram && echo 32M | sudo tee /sys/block/zram0/disksize && sudo mkswap -q /dev/zram0"
    assert "/dev/zram0" in lab.ssh("pi", f"{zram} && sudo swapon /dev/zram0 && cat /proc/swaps", timeout=120)
    assert lab.ssh("pi", "sudo sysctl -q vm.swappiness=77; cat /proc/sys/vm/swappiness").strip() == "77"
    assert [Path(path).read_text() for path in ("/proc/swaps", "/proc/sys/vm/swappiness")] == here


def test_a_reboot_hands_the_boot_folders_command_line_to_the_kernel_and_sets_the_clock_right(lab: Lab) -> None:
    lab.ssh("pi", "sudo sed -i '1s/$/ lab.word=1/' /boot/firmware/cmdline.txt")
    assert "lab.word=1" not in lab.ssh("pi", "cat /proc/cmdline")
    before = lab.ssh("pi", "cat /proc/sys/kernel/random/boot_id")
    Faults(lab).clock("pi", -300)
    Faults(lab).reboot("pi")
    assert offset(lab) == pytest.approx(0, abs=20)
    assert "lab.word=1" in lab.ssh("pi", "cat /proc/cmdline")
    assert lab.ssh("pi", "cat /proc/sys/kernel/random/boot_id") != before


def offset(lab: Lab) -> int:
    """Seconds from the hub's time to the machine's, with what two connections take."""
    return int(lab.ssh("pi", "date +%s")) - int(lab.ssh("hub", "date +%s"))


def test_clock(lab: Lab) -> None:
    Faults(lab).clock("pi", -300)
    assert offset(lab) == pytest.approx(-300, abs=20)
    Faults(lab).clock("pi", 0)
    assert offset(lab) == pytest.approx(0, abs=20)


def test_disk_and_memory_are_taken(lab: Lab) -> None:
    faults = Faults(lab)
    faults.fill_disk("pi", 20)
    assert int(lab.ssh("pi", "df --output=avail -m / | tail -1")) <= 20
    faults.free_disk("pi")
    assert int(lab.ssh("pi", "df --output=avail -m / | tail -1")) > 1000
    available = "awk '/^MemAvailable/ {print int($2/1024)}' /proc/meminfo"
    faults.take_memory("pi", 100)
    assert int(lab.ssh("pi", available)) < 130
    faults.give_memory("pi")
    assert int(lab.ssh("pi", available)) > 200


def test_network_and_power_are_cut(lab: Lab) -> None:
    faults, address = Faults(lab), lab.host("pi").address
    faults.rate("pi", 1000)
    assert re.search(r"tbf .* rate 1Mbit", lab.ssh("pi", "sudo tc qdisc show dev eth0"))
    faults.rate("pi", 0)
    assert "tbf" not in lab.ssh("pi", "sudo tc qdisc show dev eth0")
    for fault, end in ((faults.pull, faults.plug), (faults.freeze, faults.thaw)):
        fault("pi")
        assert not greets(address)
        end("pi")
        lab.host("pi").wait_ssh(60)
    faults.kill("pi")
    assert lab.host("pi").group.processes() == set()
    assert not greets(address)
