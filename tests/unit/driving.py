"""Run the playbooks' own modules and plugins as Ansible does: each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import forked_ansible

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "playbooks" / "plugins" / "modules"
ACTIONS = ROOT / "playbooks" / "plugins" / "action"
MODULE_UTILS = ROOT / "playbooks" / "plugins" / "module_utils"
# What they share is found where Ansible would put it: among its own.
AS_A_MODULE = """
import runpy, sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv.pop(1))
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""
LIMIT = 120  # seconds for one process; far above what it takes


def run_module(
    name: str,
    arguments: Mapping[str, object],
    *,
    check: bool = False,
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a module with its arguments as JSON on stdin and return what it printed."""
    given = {**arguments, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp"}
    done = subprocess.run(
        [sys.executable, "-c", AS_A_MODULE, str(MODULE_UTILS), str(MODULES / f"{name}.py")],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.stdout.strip(), f"{name} printed nothing: {done.stderr}"
    result: dict[str, Any] = json.loads(done.stdout)
    assert bool(result.get("failed")) == (done.returncode != 0)
    assert "Traceback" not in done.stdout + done.stderr
    return result


def run_play(
    folder: Path,
    tasks: list[dict[str, Any]],
    *arguments: str,
    inventory: str = "",
    hosts: str = "localhost",
    strategy: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a play with these tasks, the project's plugins and an inventory of its own, written into `folder`.

    One that asks for a strategy has Ansible's whole command, and the environment as it is now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    play = {
        "name": "Test",
        "hosts": hosts,
        "connection": "local",
        "gather_facts": False,
        "strategy": strategy or "linear",
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": tasks,
    }
    (folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    if inventory:
        (folder / "hosts.yml").write_text(inventory, encoding="utf-8")
    given = ("-i", str(folder / "hosts.yml") if inventory else "localhost,", str(folder / "play.yml"), *arguments)
    if not strategy:
        return forked_ansible.of_the_project().play(given, LIMIT)
    return subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", *given],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(folder / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "500",  # Ansible wraps warnings
        },
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines that the user sees as errors; there must be nothing of a traceback beside them."""
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]


APP = """
[project]
name = "mine"
version = "1.0.0"
dependencies = ["numpy"]
[tool.flwr.app]
publisher = "me"
[tool.flwr.app.components]
serverapp = "mine.server:app"
clientapp = "mine.client:app"
[tool.flwr.app.config]
num-server-rounds = 3
lr = 0.1
shuffle = true
label = "a"
"""


def write_app(folder: Path, project: str = APP, **files: str) -> Path:
    """Write a Flower app; files are named as Python names modules, `mine__client` for mine/client.py."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    for name, content in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder
