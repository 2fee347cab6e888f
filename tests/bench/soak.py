"""`python tests/bench/soak.py`: many short rounds on a fleet of this machine, with a real fault every few rounds.

The faults come from a seed, which is printed. In the end each round must have its rows, and no process may have grown
since its 20th round by more than a tenth, in memory and (but for a few connections) in open files. Six devices and 200
rounds take an hour on two cores; tests/integration/test_soak.py has a short one.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: its fleet.py is not the package fleet
from bench.terminated import as_interrupted  # noqa: E402
from integration.conftest import ENVIRONMENT, PROJECT, LocalFleet  # noqa: E402

# What a round takes is Flower's and the processes', not the training's.
QUICK = ("epochs=1", "batch_size=128", "fraction_evaluate=0", "min_devices=1", "round_timeout=60")
GROWTH = 1.1
CONNECTIONS = 4  # open files of a process while an app speaks with it: they come and go
FROZEN = 3.0  # seconds


class Processes:
    """A fleet's processes by what they are. An app's is a fork of a warm process of an executor's of its service's."""

    def __init__(self, fleet: LocalFleet) -> None:
        self.services = {}
        for process in fleet.processes():
            words = process.info["cmdline"]
            if words[2:3] in (["flower-superlink"], ["flower-supernode"]):
                self.services[Path(words[1]).parent.name] = process  # state/<host>/fast_rounds.pyz

    def all(self) -> dict[str, psutil.Process]:
        """Return every process that lives longer than a round, by its host and its place under the service."""
        found = {}
        for host, service in self.services.items():
            for number, process in enumerate(chain(service)):
                if number < 3 or host == "hub":
                    found[f"{host}/{number}"] = process
        return found

    def app(self, host: str) -> psutil.Process | None:
        """Return the process of the ServerApp or of a ClientApp, where one is at work."""
        whole = chain(self.services[host]) if host in self.services else []
        return whole[3] if len(whole) == 4 else None


def chain(process: psutil.Process) -> list[psutil.Process]:
    """Return a process, its first child, that one's, and so on."""
    found = [process]
    try:
        while children := found[-1].children():
            found.append(children[0])
    except psutil.NoSuchProcess:
        pass
    return found


def signal_to(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal; return whether the process was there still."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def freeze(processes: Processes, host: str) -> None:
    """Stop a device for a while, with all that it runs."""
    frozen = chain(processes.services[host])
    for process in frozen:
        signal_to(process, signal.SIGSTOP)
    time.sleep(FROZEN)
    for process in frozen:
        signal_to(process, signal.SIGCONT)


def kill_app(processes: Processes, host: str) -> None:
    """Kill the app of a device in its training."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if (app := processes.app(host)) and signal_to(app, signal.SIGKILL):
            return


def kill_device(processes: Processes, host: str) -> None:
    """Kill a device's SuperNode and all that it runs; it comes back after a minute or so."""
    for process in reversed(chain(processes.services[host])):
        signal_to(process, signal.SIGKILL)


def kill_serverapp(processes: Processes, host: str) -> None:
    """Kill the ServerApp alone."""
    if app := processes.app("hub"):
        signal_to(app, signal.SIGKILL)


def kill_superlink(processes: Processes, host: str) -> None:
    """Kill the SuperLink; the ServerApp goes with it."""
    signal_to(processes.services["hub"], signal.SIGKILL)


FAULTS: dict[str, Callable[[Processes, str], None]] = {
    "freeze": freeze,
    "kill-app": kill_app,
    "kill-device": kill_device,
    "kill-serverapp": kill_serverapp,
    "kill-superlink": kill_superlink,
}


@dataclass
class Watch:
    """What each process took after each round, and who took more in the end than after its ``settled`` rounds."""

    settled: int
    seen: dict[tuple[str, int], list[tuple[int, int]]] = field(default_factory=dict)  # bytes, files

    def look(self, processes: Processes) -> None:
        for name, process in processes.all().items():
            try:
                taken = (process.memory_info().rss, process.num_fds())
            except psutil.NoSuchProcess:
                continue
            self.seen.setdefault((name, process.pid), []).append(taken)

    def grown(self) -> list[str]:
        """Return a line for each process that grew; those that lived for a few rounds more alone are judged."""
        lines = []
        for (name, pid), taken in self.seen.items():
            if len(taken) < self.settled + 6:
                continue
            for what, place in (("bytes", 0), ("open files", 1)):
                before, after = (
                    statistics.median(one[place] for one in part)
                    for part in (taken[self.settled : self.settled + 3], taken[-3:])
                )
                if after > before * GROWTH + (CONNECTIONS if what == "open files" else 0):
                    lines.append(
                        f"{name} ({pid}): {before:.0f} {what} after {self.settled} rounds, {after:.0f} in the end"
                    )
        return lines


def soak(
    fleet: LocalFleet,
    rounds: int,
    seed: int,
    *,
    every: int,
    kinds: list[str],
    settled: int,
    limit: float,
    say: Callable[[str], None],
) -> list[str]:
    """Train on a provisioned fleet and make faults; return a line for each thing that is not as it should be."""
    chance, watch = random.Random(seed), Watch(settled)
    runs, shown = fleet.folder / "state/hub/runs", fleet.folder / "soak.log"
    before = {path.parent.name for path in runs.glob("*/rounds.csv")}
    devices = [f"device{number}" for number in range(1, fleet.devices + 1)]
    say(f"seed {seed}: {rounds} rounds on {fleet.devices} devices, a fault every {every} rounds, of {', '.join(kinds)}")

    def ended() -> int:
        new = [path for path in runs.glob("*/rounds.csv") if path.parent.name not in before]
        return max((sum(1 for _ in path.open()) - 1 for path in new), default=0)

    end, last, due = time.monotonic() + limit, 0, every
    with shown.open("w") as file:
        command = fleet.command("run_fl", f"rounds={rounds}", *QUICK)
        playbook = subprocess.Popen(command, cwd=PROJECT, env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT)
    try:
        while playbook.poll() is None:
            if time.monotonic() > end:
                return [f"round {last} of {rounds} was the last to end within {limit:.0f} s", shown.read_text()[-2000:]]
            if (now := ended()) > last:
                last = now
                watch.look(Processes(fleet))
                if last >= due and last < rounds:
                    due = last + every
                    kind, host = chance.choice(kinds), chance.choice(devices)
                    if not {host, "hub"} <= (processes := Processes(fleet)).services.keys():
                        continue  # it is down since an earlier one
                    say(
                        f"after round {last}: {kind} {host if kind in ('freeze', 'kill-app', 'kill-device') else 'hub'}"
                    )
                    FAULTS[kind](processes, host)
            time.sleep(0.1)
    finally:
        if playbook.poll() is None:
            playbook.send_signal(signal.SIGKILL)
            playbook.wait()
    if playbook.returncode != 0:
        return [f"run_fl.yml ended with {playbook.returncode}", shown.read_text()[-2000:]]
    return [*missing((fleet.results / "latest").resolve(), rounds), *watch.grown()]


def missing(folder: Path, rounds: int) -> list[str]:
    """Return a line for each row that the results should have and lack, or have twice."""

    def rows(table: str) -> list[dict[str, str]]:
        with (folder / f"{table}.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    ended = rows("rounds")
    numbers = [int(row["round"]) for row in ended]
    lines = [] if numbers == list(range(1, rounds + 1)) else [f"rounds.csv has the rounds {numbers}"]
    trained = [row["round"] for row in rows("devices") if row["train_loss"]]
    lines += [
        f"round {row['round']}: {trained.count(row['round'])} rows for {row['devices']} devices"
        for row in ended
        if trained.count(row["round"]) != int(row["devices"])
    ]
    models = {path.name for path in (folder / "model").glob("round-*")}
    lines += [f"round {n} left no model" for n in range(rounds + 1) if f"round-{n}.safetensors" not in models]
    failures = json.loads((folder / "app.json").read_text(encoding="utf-8"))["failures"]
    counted = {(failure["round"], failure["phase"], failure["reason"]) for failure in failures}
    lines += [
        f"round {row['round']} counts {row['failures']} failures and gives no reason"
        for row in ended
        if int(row["failures"]) and not any(number == int(row["round"]) for number, _, _ in counted)
    ]
    return lines


def main() -> int:
    """Provision a fleet, soak it, and say what was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--devices", type=int, default=6)
    parser.add_argument("--every", type=int, default=5, help="rounds from one fault to the next")
    parser.add_argument("--settled", type=int, default=20, help="rounds after which a process may grow no more")
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--limit", type=float, default=4 * 3600.0, help="seconds")
    args = parser.parse_args()
    as_interrupted()
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        fleet = LocalFleet(Path(folder), devices=args.devices)
        try:
            done = fleet.play("provision", timeout=1800)
            assert done.returncode == 0, done.stdout + done.stderr
            wrong = soak(
                fleet,
                args.rounds,
                args.seed,
                every=args.every,
                kinds=args.faults,
                settled=args.settled,
                limit=args.limit,
                say=lambda line: print(line, flush=True),
            )
        finally:
            fleet.end()
    print("\n".join(wrong) or "each round has its rows, and no process grew")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
