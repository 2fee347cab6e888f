"""ansible-lint, which loads Ansible once for the syntax of a hundred playbooks and roles, where it starts it for each.

python forked_ansible_lint.py --strict    # in the project's folder; what ansible-lint takes
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ansiblelint import __main__ as ansible_lint
from ansiblelint import runner

from forked_ansible import of_an_environment

one_at_a_time = threading.Lock()


def run(command: list[str], *, env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook from a fork of a process with this environment, which is the same for all."""
    name, *arguments = command
    assert name == "ansible-playbook"
    with one_at_a_time:
        return of_an_environment(env, Path.cwd()).play(arguments)


if __name__ == "__main__":
    changed: Any = runner
    changed.subprocess = SimpleNamespace(run=run, PIPE=subprocess.PIPE)
    ansible_lint._run_cli_entrypoint()
