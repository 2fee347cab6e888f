"""The strategy `persistent` over SSH: what becomes of a play whose host is cut off in the midst of a task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import fleet as fleets
from lab.faults import Faults
from lab.lab import booted
from waits import wait_for

from .conftest import ENVIRONMENT, PROJECT
from .labs import SERVER, new_name
from .turns import beside_others

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")
PATIENCE = 240  # seconds; of themselves ssh gives up after 45 and Mitogen after 300


def test_a_host_that_is_cut_off_is_given_up(tmp_path: Path) -> None:
    play = {
        "name": "Test",
        "hosts": "all",
        "gather_facts": False,
        "strategy": "persistent",
        "tasks": [{"ansible.builtin.shell": "touch /var/tmp/begun; sleep infinity"}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    hosts = fleets.parse({"hosts": [SERVER]}, "test")
    with (
        beside_others(),
        booted(hosts, new_name(), state=tmp_path / "lab") as lab,
        subprocess.Popen(
            [
                Path(sys.executable).parent / "ansible-playbook",
                *("-i", lab.folder / "inventory.yml"),
                tmp_path / "play.yml",
            ],
            env=ENVIRONMENT | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as playbook,
    ):
        try:
            wait_for(lambda: lab.ssh("hub", "ls /var/tmp/begun", check=False), "the task has begun")
            Faults(lab).pull("hub")
            said, _ = playbook.communicate(timeout=PATIENCE)
        finally:
            playbook.kill()
    assert "hub" in said.split("PLAY RECAP")[1]
    assert "unreachable=1" in said.split("PLAY RECAP")[1]
