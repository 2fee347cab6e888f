"""Swap, the memory cgroup and the reboot of provisioning on a virtual machine: what is the kernel's own.

These tests run where this file is named: `make test-vm`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.faults import Faults
from lab.lab import Lab

from .conftest import ENVIRONMENT, PROJECT, changed_hosts
from .labs import skip_unless_named, traceless

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")

FLEET = {
    "hosts": [{"name": "pi", "kind": "raspberry-pi-4", "memory": 512, "cpus": 2, "disk": 4096, "machine": "vm"}],
}
APPLY = """
- name: Find out what the host is
  hosts: pi
  gather_facts: false
  vars: {fleet_project: PROJECT}
  tasks:
    - ansible.builtin.setup: {gather_subset: ["!all", "!min", hardware]}
    - ansible.builtin.include_role: {name: raspberry_pi}
    - ansible.builtin.include_role: {name: swap}
"""
IN_THE_END = """
- name: Reboot it
  hosts: pi
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: reboot}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Lab]:
    skip_unless_named(__file__, "vm", pytestconfig)
    with traceless(FLEET, tmp_path_factory.mktemp("state")) as up:
        yield up


class Play:
    """Applies the roles, with variables."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.inventory, self.folder = lab.names.folder / "inventory.yml", folder

    def __call__(self, *plays: str, **variables: object) -> tuple[str, int]:
        """Return what was shown, and how many tasks changed something."""
        play, extra = self.folder / "play.yml", self.folder / "extra.yml"
        play.write_text("".join(plays or (APPLY,)).replace("PROJECT", str(PROJECT)))
        extra.write_text(yaml.safe_dump(variables))
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", self.inventory, "-e", f"@{extra}", play],
            cwd=PROJECT,
            env={**ENVIRONMENT, "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"), "COLUMNS": "500"},
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        return output, changed_hosts(done.stdout)["pi"]


def swaps(lab: Lab) -> dict[str, int]:
    """Swap that is on, with its MiB."""
    lines = lab.ssh("pi", "cat /proc/swaps").splitlines()[1:]
    return {words[0]: round(int(words[2]) / 1024) for words in map(str.split, lines)}


def test_a_board_gets_swap_and_the_memory_cgroup_and_keeps_them(lab: Lab, tmp_path: Path) -> None:
    play = Play(lab, tmp_path)
    # The firmware of a board gives this word, and some systems have compressed swap.
    lab.ssh("pi", "sudo sed -i '1s/$/ cgroup_disable=memory/' /boot/firmware/cmdline.txt", timeout=60)
    before = lab.ssh("pi", "cat /boot/firmware/cmdline.txt").strip()
    Faults(lab).reboot("pi")
    assert "memory" not in lab.ssh("pi", "cat /sys/fs/cgroup/cgroup.controllers").split()
    lab.ssh("pi", "sudo modprobe zram && echo 32M | sudo tee /sys/block/zram0/disksize", timeout=60)
    lab.ssh("pi", "sudo mkswap -q /dev/zram0 && sudo swapon -p 100 /dev/zram0", timeout=60)

    shown, changed = play(APPLY, IN_THE_END, swap_size="96", swap_reserve=200, swap_swappiness=7)
    assert changed
    assert "pi needs a reboot (the memory cgroup); provision.yml with -e allow_reboot=true does it" in shown
    boot = lab.ssh("pi", "cat /proc/sys/kernel/random/boot_id")
    assert swaps(lab) == {"/var/flowerbed.swap": 96}  # and the compressed one is off
    assert lab.ssh("pi", "cat /proc/sys/vm/swappiness").strip() == "7"
    line = lab.ssh("pi", "cat /boot/firmware/cmdline.txt")
    assert line == f"{before} cgroup_enable=memory cgroup_memory=1\n"

    _, changed = play(IN_THE_END, reboot_allowed=True)
    assert changed == 1
    assert lab.ssh("pi", "cat /proc/sys/kernel/random/boot_id") != boot
    assert {"cgroup_enable=memory", "cgroup_memory=1"} <= set(lab.ssh("pi", "cat /proc/cmdline").split())
    assert swaps(lab) == {"/var/flowerbed.swap": 96}
    assert lab.ssh("pi", "cat /proc/sys/vm/swappiness").strip() == "7"

    shown, changed = play(APPLY, IN_THE_END, swap_size="96", swap_reserve=200, swap_swappiness=7)
    assert changed == 0
    assert "needs a reboot" not in shown


def test_swap_by_memory_is_changed_and_removed(lab: Lab, tmp_path: Path) -> None:
    play = Play(lab, tmp_path)
    play(swap_size="auto", swap_total=768, swap_step=128, swap_reserve=200)
    assert swaps(lab) == {"/var/flowerbed.swap": 384}  # 512 MB less what the kernel takes, up to 768
    play(swap_size="0", swap_reserve=200)
    assert swaps(lab) == {}
    assert "flowerbed" not in lab.ssh("pi", "cat /etc/fstab; ls /var /etc/sysctl.d")
