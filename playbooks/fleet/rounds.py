"""The rounds of a run in the terminal: a line for each as it ends, and a table at the end.

``python -m fleet.rounds RESULTS_DIR`` prints the table, the status and the path of the report. Its exit status is 0
for a run that finished, 1 for one that did not, 2 for a folder that cannot be read.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .report import text
from .report.load import ResultsError, load_info, load_rounds
from .report.records import Info, Round
from .report.summary import last_tested

_REPORT = "report.html"


def format_round(row: Mapping[str, object], total: int | None) -> str:
    """The line of a round: ``round 2/3  loss 0.412  accuracy 0.873  devices 4/4  6.1 s``.

    Args:
        row: a row of ``rounds.csv``, as text or as numbers; what it lacks, or holds but is no number, reads ``-``.
        total: the number of rounds asked for, or None where it is not known.
    """
    number = text.count(_whole(row.get("round")))
    names = ("rank1", "mAP") if row.get("rank1") else ("loss", "accuracy")
    scores = "".join(f"  {name} {text.number(_number(row.get(name)))}" for name in names)
    line = (
        f"round {number if total is None else f'{number}/{total}'}{scores}"
        f"  devices {text.answered(_whole(row.get('devices')), _whole(row.get('failures')))}"
        f"  {text.seconds(_number(row.get('seconds')))}"
    )
    return _plain(line)


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _whole(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and math.isfinite(number) else None


def _plain(words: str) -> str:
    """Terminals, and programs that read them, expect plain spaces."""
    return words.replace("\u00a0", " ")


def rounds_table(rounds: Sequence[Round]) -> Table:
    """A table with a row for each round."""
    table = Table()
    ranked = any(row.rank1 is not None for row in rounds)
    scores = ("rank1", "mAP") if ranked else ("loss", "accuracy")
    for name in ("round", *scores, "training loss", "devices", "time", "sent", "received"):
        table.add_column(name, justify="right", overflow="fold")
    for row in rounds:
        cells = (
            str(row.round),
            *(text.number(getattr(row, name)) for name in scores),
            text.number(row.train_loss),
            text.answered(row.devices, row.failures),
            text.seconds(row.seconds),
            text.size(row.bytes_sent),
            text.size(row.bytes_received),
        )
        table.add_row(*(_plain(cell) for cell in cells), style="yellow" if row.failures else None)
    return table


def status_line(info: Info, rounds: Sequence[Round]) -> str:
    """``finished: 3 of 3 rounds, accuracy 97.3 %, 41.0 s`` or ``failed: 1 of 3 rounds, …: what went wrong``."""
    parts = []
    if rounds or (info.total_rounds is not None and info.status != "finished"):
        done = rounds[-1].round if rounds else 0
        of = "" if info.total_rounds is None else f" of {info.total_rounds}"
        parts.append(f"{done}{of} {'round' if (info.total_rounds or done) == 1 else 'rounds'}")
    if tested := last_tested(rounds):
        parts.append(f"{tested.scored} {text.percent(tested.score)}")
    if info.seconds is not None:
        parts.append(text.seconds(info.seconds))
    line = f"{info.status}: {', '.join(parts)}" if parts else info.status
    return _plain(line + (f" ({' '.join(info.error.split())})" if info.error else ""))


def main() -> int:
    """Print the rounds of a run; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fleet.rounds", description="Show the rounds of a run.")
    parser.add_argument("folder", metavar="RESULTS_DIR", type=Path, help="the run's folder of results")
    folder: Path = parser.parse_args().folder
    try:
        info, rounds = load_info(folder), load_rounds(folder)
    except ResultsError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 2
    console = Console(highlight=False)
    if rounds:
        console.print(rounds_table(rounds))
    else:
        console.print("No rounds were recorded.")
    colour = "green" if info.status == "finished" else "red"
    console.print(Text(status_line(info, rounds), style=colour), soft_wrap=True)
    report = folder.resolve() / _REPORT
    console.print(Text(f"report: {report}" if report.exists() else f"no report in {folder}"), soft_wrap=True)
    return 0 if info.status == "finished" else 1


if __name__ == "__main__":
    sys.exit(main())
