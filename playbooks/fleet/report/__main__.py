"""``python -m fleet.report RESULTS_DIR`` writes ``report.html`` into a run's folder and prints its path."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .load import ResultsError, load_run
from .page import FILE_NAME, write_report


def main() -> int:
    """Return 0 where the report is written; 2, with one line on stderr, where the folder cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m fleet.report", description="Make the report of a run.")
    parser.add_argument("folder", metavar="RESULTS_DIR", type=Path, help="the run's folder of results")
    folder: Path = parser.parse_args().folder
    try:
        print(write_report(load_run(folder)))
    except ResultsError as error:
        print(f"ERROR: {error}", file=sys.stderr)
    except OSError as error:
        print(f"ERROR: {folder / FILE_NAME}: {error.strerror}", file=sys.stderr)
    else:
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main())
