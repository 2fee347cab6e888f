"""molecule, without the start of Ansible before each playbook by which it sees that there is one.

    python run.py --base-config .config/molecule/config.yml test    # in the role's folder
"""

from __future__ import annotations

import sys

from molecule.provisioner.ansible_playbook import AnsiblePlaybook
from molecule.shell import main

if __name__ == "__main__":
    # Eight times in a scenario, a sixth of its work on the controller; an absent Ansible is told by the first playbook.
    AnsiblePlaybook._validate_backend = lambda *_: None
    sys.argv[0] = "molecule"
    sys.exit(main())
