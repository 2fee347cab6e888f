"""Put a benchmark's rows together when its devices are done.

`python -m fleet.benchmark.collect FOLDER` reads one JSON object on stdin: `hosts`, what each device is, and `lost`, a
line for each device that did not come to its end. It writes benchmark.csv, benchmark.html and the record's status.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleet.benchmark.page import write_page
from fleet.benchmark.plan import RECORD, write_record
from fleet.benchmark.results import FILE, collect, write_csv


def finish(folder: Path, hosts: Mapping[str, Any], lost: list[str]) -> None:
    """Write what comes of a benchmark."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    record["hosts"] = {**record.get("hosts", {}), **hosts}
    record["status"] = "incomplete" if lost else "finished"
    record["lost"] = lost
    record["ended"] = datetime.now(UTC).isoformat()
    write_record(folder, record)
    write_csv(collect(folder), folder / FILE)
    write_page(folder)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    finish(Path(sys.argv[1]), given["hosts"], given["lost"])
