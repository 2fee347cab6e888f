"""Going on after the server was away: what the run that was cut off left becomes this run's own."""

import csv
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from fl_app.checkpoints import ROUND
from fl_app.run_folder import COLUMNS, RunFolder

logger = logging.getLogger("flwr")


def take_over(folder: RunFolder, earlier: Path) -> bool:
    """Bring the finished rounds of the run in ``earlier`` into ``folder``: rows, checkpoints, failures.

    What it left of the round that it was cut off in is left behind. Returns whether there is a checkpoint to go on
    from, and notes the outage in app.json: the last round before it and the seconds since that round's end.
    """
    found = {int(m[1]): path for path in (earlier / "model").glob("round-*") if (m := ROUND.fullmatch(path.name))}
    if not found:
        return False
    # A round's row is written last of all.
    finished = [int(row["round"]) for row in _rows(earlier, "rounds")]
    last = max(finished, default=min(found))
    for table in COLUMNS:
        folder.add(table, [row for row in _rows(earlier, table) if int(row["round"]) <= last])
    for path in (earlier / "model").glob("*-*.safetensors"):
        if int(path.stem.rpartition("-")[2]) <= last:
            os.link(path, folder.path / "model" / path.name)
    left = json.loads((earlier / "app.json").read_text())
    away = round(time.time() - found[last].stat().st_mtime, 1)
    folder.update(
        resumed_from=left["resumed_from"],
        first_run=left.get("first_run") or folder.info["first_run"],
        failures=[failure for failure in left["failures"] if failure["round"] <= last],
        outages=[*left["outages"], {"after_round": last, "seconds": away}],
    )
    logger.warning("going on after round %d, %.0f s after its end", last, away)
    return True


def _rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """Return a table's whole rows; the last line may have been cut."""
    text = (folder / f"{table}.csv").read_text()
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
