"""`python tests/bench/many.py`: what many SuperNodes cost the SuperLink, and what an idle one costs its device.

The SuperNodes, which have no torch, are processes of this machine, and train nothing for a while in a round. Told are
the processor time of the SuperLink's own process in a second of the run, the messages that failed, and after a silence
in which SuperNodes slow down the processor time of each host's processes in a second.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: its fleet.py is not the package fleet
from bench.fleet import Fleet  # noqa: E402
from bench.terminated import as_interrupted  # noqa: E402

SILENCE = 180.0  # seconds; after two and a half minutes the pace is stock's


def used(pid: int, whole: bool) -> float:
    """Return the seconds of processor time of a process, or of the ``whole`` of it and those that it started."""
    process = psutil.Process(pid)
    several = [process, *process.children(recursive=True)] if whole else [process]
    times = [one.cpu_times() for one in several]
    return sum(t.user + t.system + (t.children_user + t.children_system if whole else 0) for t in times)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0, help="that training takes in a round")
    args = parser.parse_args()
    as_interrupted()
    preload = {"FAST_ROUNDS_PRELOAD": ""}
    with (
        tempfile.TemporaryDirectory(prefix="bench") as folder,
        Fleet(Path(folder) / "fleet", args.nodes, environment=preload) as fleet,
    ):
        superlink, *devices = fleet.processes
        before, start = used(superlink.pid, False), time.monotonic()
        ended = fleet.run(rounds=args.rounds, seconds=args.seconds, torch=False, limit=3600)
        busy = (used(superlink.pid, False) - before) / (time.monotonic() - start)
        answers = [reply for reply in ended["replies"] if "error" not in reply]
        failed = args.nodes * args.rounds - len(answers)
        round_seconds = statistics.median(b - a for a, b in zip(ended["ends"][1:], ended["ends"][2:], strict=False))
        time.sleep(SILENCE)
        idle_before, start = [used(one.pid, True) for one in fleet.processes], time.monotonic()
        time.sleep(60)
        passed = time.monotonic() - start
        idle = [(used(one.pid, True) - then) / passed for one, then in zip(fleet.processes, idle_before, strict=True)]
    print("| SuperNodes | s/round | SuperLink, of a core | failed messages | idle SuperLink | idle device, the most |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {len(devices)} | {round_seconds:.1f} | {busy:.0%} | {failed} of {args.nodes * args.rounds} "
        f"| {idle[0]:.1%} | {max(idle[1:]):.1%} |"
    )


if __name__ == "__main__":
    main()
