"""The report as one HTML page that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from . import text
from .charts import accuracy_chart, label_chart, loss_chart, rank_chart
from .records import Host, Run
from .summary import (
    absences,
    best_tested,
    device_summaries,
    fleet,
    last_tested,
    total,
    trained_rounds,
)
from .timeline import rounds_per_bar, time_chart

FILE_NAME = "report.html"


def write_report(run: Run) -> Path:
    """Write ``report.html`` into the run's folder, whole or not at all, and return its path.

    Raises:
        OSError: the folder cannot be written to.
    """
    path = run.folder / FILE_NAME
    draft = run.folder / f".{FILE_NAME}.{os.getpid()}"
    try:
        draft.write_text(render(run), encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def render(run: Run) -> str:
    """The HTML of the report."""
    devices = fleet(run)
    rounds = trained_rounds(run)
    numbers = [row.round for row in rounds]
    environment = Environment(
        loader=PackageLoader("fleet.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": text.number,
        "count": text.count,
        "percent": text.percent,
        "seconds": text.seconds,
        "size": text.size,
        "megabytes": text.megabytes,
        "moment": text.moment,
        "value": _value,
    }
    return environment.get_template("report.html.j2").render(
        run=run,
        info=run.info,
        rounds=rounds,
        summaries=device_summaries(run),
        tested=last_tested(run.rounds),
        best=best_tested(run.rounds),
        failures=total([row.failures for row in rounds]),
        sent=total([row.bytes_sent for row in rounds]),
        received=total([row.bytes_received for row in rounds]),
        duration=_duration(run),
        loss_chart=loss_chart(run.rounds),
        accuracy_chart=accuracy_chart(run.rounds),
        rank_chart=rank_chart(run.rounds),
        ranked=any(row.rank1 is not None for row in rounds),
        time_chart=time_chart(run.timings, devices, numbers, absences(run)),
        rounds_per_bar=rounds_per_bar(len(devices), len(numbers)),
        label_chart=label_chart(run.info.dataset, devices) if run.info.dataset else None,
        software=_software(run),
        answered=text.answered,
    )


def _duration(run: Run) -> float | None:
    info = run.info
    if info.seconds is None and info.started and info.ended:
        return (info.ended - info.started).total_seconds()
    return info.seconds


def _value(value: object) -> str:
    """A setting as the user would write it."""
    if isinstance(value, str):
        return value or '""'
    return json.dumps(value, ensure_ascii=False)


def _software(run: Run) -> list[tuple[str, str]]:
    """Where which version ran: the controller, the server and the devices."""
    info = run.info
    rows = [("controller", ", ".join(f"{name} {version}" for name, version in info.versions.items() if version))]
    if info.server:
        rows.append(("server", _versions([info.server])))
    if info.devices:
        rows.append(("devices", _versions(info.devices)))
    return [(where, words) for where, words in rows if words]


def _versions(hosts: Sequence[Host]) -> str:
    parts = []
    for name in ("python", "flwr", "torch", "tensorflow"):
        versions = sorted({version for host in hosts if (version := getattr(host, name))})
        if versions:
            parts.append(f"{name} {' and '.join(versions)}")
    return ", ".join(parts)
