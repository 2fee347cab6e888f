"""run.json: what a run was, written from what the playbook knows and what the app left."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_STATUS = {"finished:completed": "finished", "finished:stopped": "stopped"}
_ABOUT = ("board", "architecture", "cores", "memory_mb", "runtime", "gpu", "python", "flwr", "torch", "tensorflow")
_UNKNOWN = dict.fromkeys(_ABOUT)


def compose(known: dict[str, Any], left: dict[str, Any]) -> dict[str, Any]:
    """Return the content of run.json.

    `known` is what the playbook knows (see roles/results), `left` the app's own app.json, empty where it has
    none.
    """
    started, ended = (datetime.fromisoformat(known[key]) for key in ("started", "ended"))
    status = _STATUS.get(known["status"], "failed")
    error = left.get("error") or known["details"] or None
    if status == "failed" and error is None:
        error = "the app ended with an error; logs/server/serverapp.log says which"
    return {
        "run_id": known["run_id"],
        "status": status,
        "error": None if status == "finished" else error,
        "started": started.isoformat(),
        "ended": ended.isoformat(),
        "seconds": round((ended - started).total_seconds(), 1),
        "app": known["app"],
        "settings": known["settings"],
        "versions": {
            "flowerbed": metadata.version("flowerbed"),
            "python": platform.python_version(),
            "flwr": metadata.version("flwr"),
            "ansible": metadata.version("ansible-core"),
        },
        "server": known["server"],
        "dataset": known["dataset"],
        "devices": [
            {
                **_UNKNOWN,
                "host": host,
                **known["hosts"].get(host, {}),
                "cid": cid,
                "throttled": _throttled(known.get("throttled", {}).get(host)),
                "reachable": host in known["hosts"],
            }
            for host, cid in known["cids"].items()
        ],
        "resumed_from": known["resumed_from"],
        "outages": left.get("outages") or [],
        "model": left.get("model"),
        "beginning": left.get("beginning"),
        "warnings": left.get("warnings", []),
    }


def _throttled(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what a Raspberry Pi's firmware said before and after the run."""
    return {key: found[key] for key in ("before", "after", "said")} if found else None


def write(folder: Path, known: dict[str, Any]) -> None:
    """Write run.json into the run's folder and point `latest`, beside it, to that folder."""
    path = folder / "app.json"
    left = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    (folder / "run.json.new").write_text(json.dumps(compose(known, left), indent=1) + "\n", encoding="utf-8")
    os.replace(folder / "run.json.new", folder / "run.json")
    link = folder.parent / "latest.new"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    os.replace(link, folder.parent / "latest")


if __name__ == "__main__":
    write(Path(sys.argv[1]), json.load(sys.stdin))
