"""Two benchmarks side by side, as ratios.

    python -m fleet.benchmark.compare BEFORE AFTER
    python -m fleet.benchmark.compare raspberry-pi-5 results/latest-benchmark
    python -m fleet.benchmark.compare results/A:pi4 results/B:pi5     # one device of each

Each is a benchmark's folder or file, or a table that ships. Devices of the same name are compared with each other,
and where there are none, each of the one with each of the other. Times are of one image, so that batches may differ.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from rich.console import Console
from rich.table import Table

from fleet.benchmark import TASKS
from fleet.benchmark.results import BenchmarkError, Row, load
from fleet.report import text


@dataclass(frozen=True)
class Pair:
    """A model on two devices; ratios above 1 say how many times faster the second one is."""

    model: str
    before: Row
    after: Row

    def ratio(self, task: str) -> float | None:
        """Return the first one's time over the second one's, of an image in a task."""
        first, second = self.before.ms_per_image(task), self.after.ms_per_image(task)
        return first / second if first and second else None


def pairs(before: Sequence[Row], after: Sequence[Row]) -> dict[tuple[str, str], list[Pair]]:
    """Return the models that two devices have both measured, for each two devices to compare."""
    first, second = _by_host(before), _by_host(after)
    same = [(host, host) for host in first if host in second]
    found = {}
    for one, other in same or [(one, other) for one in first for other in second]:
        mine = [Pair(name, first[one][name], second[other][name]) for name in first[one] if name in second[other]]
        if mine:
            found[one, other] = mine
    return found


def _by_host(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.milliseconds:
            found.setdefault(row.host, {})[row.model] = row
    return found


def overall(compared: Sequence[Pair], task: str) -> float | None:
    """Return the geometric mean of the ratios of a task."""
    ratios = [ratio for pair in compared if (ratio := pair.ratio(task))]
    return geometric_mean(ratios) if ratios else None


def compare_table(names: tuple[str, str], compared: Sequence[Pair]) -> Table:
    """Return a table with a row for each model and the mean in the end."""
    tasks = [task for task in TASKS if any(pair.ratio(task) for pair in compared)]
    result = Table(title=f"{names[0]} and {names[1]}, ms an image", title_justify="left")
    result.add_column("model")
    for task in tasks:
        for head in (f"{task}: {names[0]}", names[1], "times faster"):
            result.add_column(head, justify="right", overflow="fold")
    for pair in compared:
        cells = []
        for task in tasks:
            cells += [text.number(pair.before.ms_per_image(task), 1), text.number(pair.after.ms_per_image(task), 1)]
            cells.append(times(pair.ratio(task)))
        result.add_row(pair.model, *cells)
    result.add_section()
    means = [cell for task in tasks for cell in ("", "", times(overall(compared, task)))]
    result.add_row("geometric mean", *means, style="bold")
    return result


def times(ratio: float | None) -> str:
    """Return a ratio as it reads: `2.31`."""
    return text.number(ratio, 2)


def _given(word: str) -> tuple[list[Row], str]:
    """Return the rows that a word of the command line names, and its name."""
    place, _, host = word.rpartition(":")
    if not place:
        return load(word), word
    rows = [row for row in load(place) if row.host == host]
    if not rows:
        hosts = ", ".join(dict.fromkeys(row.host for row in load(place)))
        raise BenchmarkError(f"{word}: {place} has no device {host}; allowed: {hosts}")
    return rows, host


def main() -> int:
    """Print the comparison; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fleet.benchmark.compare", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("before", metavar="BEFORE", help="folder, file or table, with :DEVICE behind it for one alone")
    parser.add_argument("after", metavar="AFTER")
    given = parser.parse_args()
    try:
        (first, first_name), (second, second_name) = _given(given.before), _given(given.after)
    except BenchmarkError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 2
    found = pairs(first, second)
    if not found:
        print(f"ERROR: {given.before} and {given.after} have no model in common that both measured", file=sys.stderr)
        return 2
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for (one, other), compared in found.items():
        names = (one, other) if one != other else (f"{one} ({first_name})", f"{other} ({second_name})")
        console.print(compare_table(names, compared))
    return 0


if __name__ == "__main__":
    sys.exit(main())
