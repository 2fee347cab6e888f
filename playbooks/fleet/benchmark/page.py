"""A benchmark as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fleet.benchmark import TASKS
from fleet.benchmark.charts import bar_chart, hosts_of, scatter_chart, unit
from fleet.benchmark.compare import Pair, overall, pairs, times
from fleet.benchmark.plan import RECORD
from fleet.benchmark.results import Row, load, references
from fleet.report import text

FILE_NAME = "benchmark.html"


def write_page(folder: Path) -> Path:
    """Write ``benchmark.html`` into a benchmark's folder, whole or not at all, and return its path."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    path = folder / FILE_NAME
    draft = folder / f".{FILE_NAME}.{os.getpid()}"
    draft.write_text(render(record, load(str(folder))), encoding="utf-8")
    draft.replace(path)
    return path


def render(record: dict[str, Any], rows: Sequence[Row]) -> str:
    """The HTML of a benchmark: its record, and its rows."""
    plan = record["plan"]
    tasks = [task for task in TASKS if task in plan["tasks"]]
    environment = Environment(
        loader=PackageLoader("fleet.benchmark", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": _plain, "count": text.count, "seconds": text.seconds, "times": times}
    return environment.get_template("benchmark.html.j2").render(
        record=record,
        plan=plan,
        rows=rows,
        done=[row for row in rows if row.milliseconds],
        failed=[row for row in rows if not row.milliseconds],
        tasks=tasks,
        hosts=hosts_of(rows),
        boards=record.get("hosts", {}),
        lost=record.get("lost", []),
        moment=text.moment(datetime.fromisoformat(record["started"])) if record.get("started") else "",
        bars=bar_chart(rows, tasks),
        scatter=scatter_chart(rows, tasks[0]),
        published=_published(rows),
        overall=overall,
        style=Markup((files("fleet.report") / "report.css").read_text(encoding="utf-8")),
        both_layouts=any(row.values.get("contiguous_ms") for row in rows),
        power=any(row.values.get("power_w_mean") for row in rows),
        modes=any(row.values.get("power_mode") for row in rows),
        unit=unit(rows),
        heat=any(row.values.get("temperature_max") for row in rows),
    )


def _plain(value: float | None, digits: int) -> str:
    """Return a number with a fixed number of digits; ``-`` for None."""
    return text.MISSING if value is None else f"{value:,.{digits}f}"


def _published(rows: Sequence[Row]) -> dict[str, dict[str, list[Pair]]]:
    """Return, for each published table, each device's models that stand in it."""
    found: dict[str, dict[str, list[Pair]]] = {}
    for name, path in references().items():
        beside = {other: compared for (_, other), compared in pairs(load(str(path)), rows).items()}
        if beside:
            found[name] = beside
    return found
