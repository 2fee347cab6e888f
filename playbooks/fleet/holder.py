"""Who works on a fleet: one playbook at a time changes it."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any


class HeldError(RuntimeError):
    """Another playbook works on the fleet; the text is one line for the user."""


def hold(file: Path, process: int, playbook: str) -> None:
    """Note in `file` that `process` works on the fleet, which counts as long as that process runs.

    Raises HeldError where another one does.
    """
    while True:
        mine = {"process": process, "began": began(process), "playbook": playbook, "user": getpass.getuser()}
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        whole = file.with_name(f"{file.name}.{process}")
        whole.write_text(json.dumps({**mine, "since": time.strftime("%H:%M:%S")}), encoding="utf-8")
        try:
            os.link(whole, file)  # fails where there is one already, which a rename would not
            return
        except FileExistsError:
            held_by = _read(file)
            if held_by.get("process") == process:
                return
            if held_by and began(held_by["process"]) == held_by["began"]:
                who = f"{held_by['playbook']}, which {held_by['user']} started at {held_by['since']}"
                raise HeldError(
                    f"the fleet is held by {who} (process {held_by['process']}); "
                    "allowed: one playbook at a time, so wait for its end, or end it"
                ) from None
            file.unlink(missing_ok=True)  # of a playbook that has ended
        finally:
            whole.unlink()


def began(process: int) -> str:
    """Return when a process began, as ps says it, or nothing where there is no such process."""
    command = ["ps", "-o", "lstart=", "-p", str(process)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return content if {"process", "began", "playbook", "user", "since"} <= set(content) else {}
    except (OSError, ValueError):
        return {}
