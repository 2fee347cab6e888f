"""molecule, which loads Ansible once for the playbooks of a scenario, where it starts it twice for each.

    python run.py --base-config .config/molecule/config.yml test    # in the role's folder

Of what it does on the controller these starts are the half: one to see that there is an Ansible, one for the playbook.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from molecule.app import App
from molecule.provisioner.ansible_playbook import AnsiblePlaybook
from molecule.shell import main

from forked_ansible import of_an_environment


def run_command(
    app: App, cmd: list[str], env: dict[str, str], cwd: Path, **_: object
) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook from a fork of a process with this environment; show and return what it said."""
    name, *arguments = cmd
    assert name == "ansible-playbook"
    done = of_an_environment({**app.runtime.environ, **env}, cwd).play(arguments)
    print(done.stdout + done.stderr, flush=True)
    return done


if __name__ == "__main__":
    changed: Any = App, AnsiblePlaybook
    changed[0].run_command = run_command
    changed[1]._validate_backend = lambda *_: None
    sys.argv[0] = "molecule"
    sys.exit(main())
