"""The hosts of a molecule scenario, for create.yml and destroy.yml.

python hosts.py up < FLEET      # boots them, and puts their inventory where .config/molecule/config.yml has it
python hosts.py down            # removes every trace
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lab import cli, names


def main() -> int:
    """Do what the argument asks, and return its exit status."""
    ephemeral = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
    # A lab of its own for each working folder of molecule, so that scenarios run side by side.
    name = "m" + hashlib.sha256(str(ephemeral).encode()).hexdigest()[:7]
    inventory, fleet = ephemeral / "fleet", ephemeral / "fleet.json"
    if sys.argv[1] == "up":
        fleet.write_text(sys.stdin.read(), encoding="utf-8")  # which is YAML
        inventory.unlink(missing_ok=True)
        inventory.symlink_to(names.STATE / name)
        return cli.main(["--name", name, "up", str(fleet), "--subnet", "auto"])
    status = cli.main(["--name", name, "down"])
    if status == 0:
        inventory.unlink(missing_ok=True)
        shutil.rmtree(ephemeral / "state", ignore_errors=True)  # what the controller kept of them
    return status


if __name__ == "__main__":
    sys.exit(main())
