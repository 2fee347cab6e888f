"""What a user sees of Ansible's output."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]
ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
PYTHON = f"ansible_python_interpreter={sys.executable}"


def shown(tasks: list[dict[str, object]], folder: Path, *options: str) -> str:
    playbook = folder / "playbook.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    done = subprocess.run(
        [
            ANSIBLE,
            "--inventory",
            "localhost,",
            "--connection",
            "local",
            "--extra-vars",
            PYTHON,
            *options,
            playbook,
        ],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_what_is_waited_for_is_named_once(tmp_path: Path) -> None:
    count = {
        "name": "Wait until there are three",
        "ansible.builtin.shell": f"echo >> {tmp_path}/lines; wc -l < {tmp_path}/lines",
        "register": "lines",
        "until": "lines.stdout | int % 3 == 0",
        "delay": 0,
        "retries": 5,
        "changed_when": False,
    }
    told = shown([count], tmp_path)
    assert told.count("localhost: Wait until there are three …") == 1
    assert "RETRYING" not in told
    assert shown([count], tmp_path, "-v").count("FAILED - RETRYING") == 2
