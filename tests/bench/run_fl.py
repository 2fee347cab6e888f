"""`python tests/bench/run_fl.py`: where the seconds of `run_fl.yml -e rounds=3` go on a fleet that is up.

A fleet of this machine, provisioned as a user does, trains a few times; the fastest one is told task by task. What
Ansible shows is what is timed, as it comes: a task lasts until the next one is shown.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: its fleet.py is not the package fleet
from bench.terminated import as_interrupted  # noqa: E402
from integration.conftest import ENVIRONMENT, PROJECT, LocalFleet  # noqa: E402

SHOWN = {**ENVIRONMENT, "ANSIBLE_DISPLAY_OK_HOSTS": "true", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}
TASK = re.compile(r"^TASK \[(.+?)\]")
ROUND = re.compile(r"^round (\d+)/\d+ .* ([\d.]+) (s|ms)$")


@dataclass
class Seen:
    """Seconds since the command was typed: of each task's beginning, and of the first round's."""

    tasks: list[tuple[str, float]] = field(default_factory=list)
    training: float = 0.0
    whole: float = 0.0

    def longest(self, number: int) -> list[tuple[str, float]]:
        """Return the tasks that took longest, and the seconds that they took."""
        ends = [*[at for _, at in self.tasks[1:]], self.whole]
        took: dict[str, float] = {"Ansible's start": self.tasks[0][1]}
        for (name, at), end in zip(self.tasks, ends, strict=True):
            took[name] = took.get(name, 0.0) + end - at
        return sorted(took.items(), key=lambda one: -one[1])[:number]


def watch(command: list[str]) -> Seen:
    """Run a playbook and note when it shows what."""
    seen, start = Seen(), time.monotonic()
    shown: list[str] = []
    with subprocess.Popen(command, cwd=PROJECT, env=SHOWN, stdout=subprocess.PIPE, text=True) as playbook:
        assert playbook.stdout is not None
        for line in playbook.stdout:
            now = time.monotonic() - start
            shown.append(line)
            if task := TASK.match(line):
                seen.tasks.append((task[1], now))
            if (ended := ROUND.match(line.strip())) and ended[1] == "1":
                seen.training = now - float(ended[2]) * (0.001 if ended[3] == "ms" else 1)
    seen.whole = time.monotonic() - start
    assert playbook.returncode == 0, "".join(shown[-40:])
    return seen


def main() -> None:
    """Measure and print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=4, help="as in inventory/hosts.yml")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=3)
    args = parser.parse_args()
    as_interrupted()
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        fleet = LocalFleet(Path(folder), devices=args.devices)
        try:
            done = fleet.play("provision", timeout=1800)
            assert done.returncode == 0, done.stdout + done.stderr
            runs = [watch(fleet.command("run_fl", f"rounds={args.rounds}")) for _ in range(args.times)]
        finally:
            fleet.end()
    best = min(runs, key=lambda seen: seen.whole)
    print("| run | until the first round trains, s | the whole, s |\n|---|---|---|")
    for number, seen in enumerate(runs, 1):
        print(f"| {number} | {seen.training:.1f} | {seen.whole:.1f} |")
    print("\n| task, of the fastest | seconds |\n|---|---|")
    for name, took in best.longest(25):
        print(f"| {name} | {took:.1f} |")


if __name__ == "__main__":
    main()
