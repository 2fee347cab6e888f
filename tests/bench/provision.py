"""`python tests/bench/provision.py` (as root): what provisioning a fleet takes, on virtual devices.

Devices beside a server, all fresh, with a Python that pyenv builds: once with packages, build and wheels shared, as
provisioning does it, and once with each host by itself. Then the same again on a fleet where nothing is to be done,
against Ansible's own settings. Bytes from outside are what the controller fetched and what the hosts received.

Boards have a slow processor each, of their own: every host has `--cpus` of a core, so that the fleet leaves some of
this machine to the controller. Without that limit the hosts' work would add up, which it does not on boards.
"""

from __future__ import annotations

import argparse
import configparser
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: its fleet.py is not the package fleet
from bench.terminated import as_interrupted  # noqa: E402
from lab import fleet as fleets  # noqa: E402
from lab import nft  # noqa: E402
from lab.lab import Lab, booted  # noqa: E402
from lab.rootfs import cache_folder  # noqa: E402

PROJECT = Path(__file__).resolve().parents[2]
# What says where things are; the rest of ansible.cfg is about speed and output.
PLACES = (
    "inventory",
    "roles_path",
    "library",
    "action_plugins",
    "callback_plugins",
    "strategy_plugins",
    "stdout_callback",
)
# A key of its own makes a host its own only taker.
BY_ITSELF = {
    "system_packages_cache": "{{ fleet_state }}/{{ inventory_hostname }}/debs",
    "pyenv_key": "{{ inventory_hostname }}",
    "pyenv_cache": "{{ fleet_state }}/{{ inventory_hostname }}/pyenv",
    "python_packages_cache": "{{ fleet_state }}/{{ inventory_hostname }}/wheels",
}


@contextmanager
def fresh(devices: int, cpus: float, folder: Path) -> Iterator[Lab]:
    """Boot a server and so many devices, each with so much of a core."""
    size = {"memory": 1024, "cpus": cpus}
    pis = [{"name": f"pi{number}", "kind": "raspberry-pi-5", **size} for number in range(devices)]
    hosts = {"hosts": [{"name": "hub", "kind": "server", **size}, *pis]}
    with booted(fleets.parse(hosts, "bench"), f"b{os.getpid()}", state=folder / "lab") as lab:
        yield lab


def provision(lab: Lab, folder: Path, variables: dict[str, object], config: Path) -> float:
    """Run provision.yml and return its seconds; raises CalledProcessError where it fails."""
    extra = folder / "extra.yml"
    extra.write_text(yaml.safe_dump({"fleet_state": str(folder / "state"), **variables}), encoding="utf-8")
    command: list[str | Path] = [
        Path(sys.executable).parent / "ansible-playbook",
        "-i",
        lab.folder / "inventory.yml",
        "-e",
        f"@{extra}",
    ]
    own = {} if config == PROJECT / "ansible.cfg" else {"ANSIBLE_STRATEGY": "linear"}
    start = time.monotonic()
    with (folder / "provision.log").open("ab") as log:
        subprocess.run(
            [*command, "playbooks/provision.yml"],
            cwd=PROJECT,
            env=os.environ | own | {"ANSIBLE_CONFIG": str(config), "PYTHONPATH": str(PROJECT / "playbooks")},
            stdout=log,
            stderr=log,
            check=True,
        )
    return time.monotonic() - start


def settle(limit: float = 900.0, busy: float = 10.0) -> None:
    """Wait until this machine does nothing: devices that were just started import torch, for a minute at such a speed.

    Raises TimeoutError where more than `busy` percent of it are still at work after `limit` seconds.
    """
    end = time.monotonic() + limit
    while (share := psutil.cpu_percent(5.0)) > busy:
        if time.monotonic() > end:
            raise TimeoutError(f"this machine is busy with something else: {share:.0f} % of it")


def plain_config(folder: Path) -> Path:
    """Return a copy of ansible.cfg with only what Ansible needs to find things."""
    own = configparser.ConfigParser(interpolation=None)
    own.read(PROJECT / "ansible.cfg")
    kept = {name: own["defaults"][name] for name in PLACES}
    for name in PLACES[:-1]:  # folders and files; the last is a plugin's name
        kept[name] = str(PROJECT / kept[name])
    plain = configparser.ConfigParser(interpolation=None)
    # Without pipelining, another user than root reads a module's file.
    plain["defaults"] = kept | {"allow_world_readable_tmpfiles": "true"}
    path = folder / "plain.cfg"
    with path.open("w", encoding="utf-8") as file:
        plain.write(file)
    return path


def fetched(state: Path) -> int:
    """Return the bytes of what the controller fetched from outside for the hosts: wheels."""
    return sum(path.stat().st_size for path in state.rglob("*.whl"))


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--by-itself", type=int, nargs="*", default=[1, 4, 8], help="counts to measure so, too")
    parser.add_argument("--cpus", type=float, default=0.3, help="share of a core that each host has")
    parser.add_argument("--python", choices=["pyenv", "system"], default="pyenv")
    parser.add_argument("--log", type=Path, help="a folder to keep the playbooks' output in")
    args = parser.parse_args()
    as_interrupted()
    python: dict[str, object] = {"python_provider": args.python, **(debians_python() if args.python == "pyenv" else {})}
    print("| devices | | seconds | MB from outside |\n|---|---|---|---|", flush=True)
    plans = [(n, "shared") for n in args.devices] + [(n, "each by itself") for n in args.by_itself]
    for devices, how in plans:
        with tempfile.TemporaryDirectory(prefix="bench") as name, fresh(devices, args.cpus, Path(name)) as lab:
            folder = Path(name)
            variables = python | (BY_ITSELF if how != "shared" else {})
            try:
                seconds = provision(lab, folder, variables, PROJECT / "ansible.cfg")
                outside = nft.bytes_from_outside(lab.names) + fetched(folder / "state")
                print(f"| {devices} | {how} | {seconds:.0f} | {outside / 1e6:.0f} |", flush=True)
                if how == "shared" and devices == max(args.devices):
                    settle()
                    again = provision(lab, folder, variables, PROJECT / "ansible.cfg")
                    print(f"| {devices} | a second time | {again:.0f} | |", flush=True)
                    settle()
                    plain = provision(lab, folder, variables, plain_config(folder))
                    print(f"| {devices} | a second time with Ansible's own settings | {plain:.0f} | |", flush=True)
            finally:
                if args.log:
                    args.log.mkdir(parents=True, exist_ok=True)
                    (folder / "provision.log").replace(args.log / f"{devices}-{how.replace(' ', '-')}.log")


def debians_python() -> dict[str, object]:
    """Return the variables with which pyenv builds the CPython whose source is in Debian's archive."""
    scenario = PROJECT / "roles" / "pyenv" / "molecule" / "default"
    values: dict[str, object] = yaml.safe_load((scenario / "vars" / "main.yml").read_text(encoding="utf-8"))
    sources = cache_folder() / "sources"
    if not list(sources.glob(f"Python-{values['pyenv_python']}.*")):
        subprocess.run(["sh", scenario / "cpython_source.sh", sources], check=True, stdout=sys.stderr)
    return values


if __name__ == "__main__":
    main()
