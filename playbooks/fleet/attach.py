"""What the playbook that began a run knew of it, for another one to attach to the run.

`python -m fleet.attach FILE` keeps it: JSON, from stdin.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fleet import private
from fleet.settings import SettingError

KEYS = {"ids", "started", "since", "folder_name", "settings"}


def find(attach: str, origin: str, folder: Path) -> dict[str, Any]:
    """Return the record of the run that `attach` names: `latest`, or a run's id. See roles/run/tasks/keep.yml.

    Raises SettingError where no such run was begun from here, or its results are here already.
    """
    kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    known = [path.stem for path in kept]
    if not known or attach not in ("latest", *known):
        raise SettingError(
            f"attach={attach} ({origin}): no such run waits to be brought back; "
            f"allowed: {'latest, ' + ', '.join(reversed(known)) if known else 'nothing, for none does'}"
        )
    path = kept[-1] if attach == "latest" else folder / f"{attach}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record.keys() != KEYS:
            raise ValueError(f"it has {', '.join(sorted(record))}")
    except (ValueError, AttributeError) as error:
        raise SettingError(f"attach={attach} ({origin}): {path} cannot be read ({error})") from None
    return record


if __name__ == "__main__":
    private.write(Path(sys.argv[1]), sys.stdin.read())
