"""What an earlier run left to go on from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.settings import SettingError

_ROUND = re.compile(r"round-(\d+)\.safetensors")


@dataclass(frozen=True)
class Earlier:
    """A run's folder, its last finished round and the settings that it ran with."""

    folder: Path
    last_round: int
    settings: dict[str, Any]

    @property
    def files(self) -> list[str]:
        """The files of the last round, by their paths."""
        model = self.folder / "model"
        return sorted(str(path) for path in model.iterdir() if re.match(rf"[a-z]+-{self.last_round}\.", path.name))


def find(resume: str, origin: str, results: Path) -> Earlier:
    """Return the run that `resume` names: `latest`, the name of a folder in `results`, or a path.

    Raises SettingError where that is no folder of a run with a finished round.
    """

    def refuse(why: str) -> SettingError:
        return SettingError(
            f"resume={resume} ({origin}): {why}; allowed: latest, or the folder of a run that has "
            "model/round-N.safetensors"
        )

    folder = (results / resume).resolve()
    if not folder.is_dir():
        raise refuse(f"there is no folder {folder}")
    rounds = [int(match[1]) for path in (folder / "model").glob("*") if (match := _ROUND.fullmatch(path.name))]
    if not rounds:
        raise refuse(f"{folder} has no model of a round")
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        settings = dict(record["settings"])
    except FileNotFoundError:
        settings = {}  # a run whose controller went away before it wrote its record
    except (ValueError, KeyError, TypeError) as error:
        raise refuse(f"its run.json cannot be read ({error})") from None
    return Earlier(folder, max(rounds), settings)
