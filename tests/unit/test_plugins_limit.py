"""The callback that keeps the controller and the server in a play that `--limit` narrows to devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.driving import run_play

INVENTORY = """
all:
  vars: {ansible_connection: local}
  children:
    server: {hosts: {hub: {}}}
    devices: {hosts: {pi-1: {}, pi-2: {}}}
"""


@pytest.mark.parametrize(
    ("limit", "devices"), [("pi-1", {"pi-1"}), ("devices:!pi-1", {"pi-2"}), ("devices:&pi-*", {"pi-1", "pi-2"})]
)
def test_a_limit_names_devices(tmp_path: Path, limit: str, devices: set[str]) -> None:
    done = run_play(tmp_path, [{"ping": {}}], "--limit", limit, inventory=INVENTORY, hosts="all:localhost")
    assert done.returncode == 0, done.stdout + done.stderr
    recap = done.stdout.split("PLAY RECAP")[1]
    assert {line.split()[0] for line in recap.splitlines() if "ok=" in line} == {"localhost", "hub", *devices}
