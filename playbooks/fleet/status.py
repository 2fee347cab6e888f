"""What the fleet is doing, a row a host: `fab status`."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from fleet import flower
from fleet.hosts import Host
from fleet.shell import HostError, as_user, on_all, shell

TIMEOUT = 30.0  # seconds that a host may take to answer
_CUT = "--8<-- flowerbed --8<--"


@dataclass(frozen=True)
class State:
    """What a host answered; `unreachable` says why one did not."""

    service: str = ""
    unreachable: str = ""


@dataclass(frozen=True)
class Knowledge:
    """What the server knows: who is online (None, and `why`, where it cannot say), and the newest run's rounds."""

    online: frozenset[str] | None = None
    why: str = ""
    last_rounds: dict[str, int] | None = None


def ask(hosts: Sequence[Host]) -> tuple[list[State], Knowledge]:
    """Ask every host for its service, and the server for the fleet, side by side."""
    answers = on_all(hosts, _ask_one)
    knowledge = next((known for _, known in answers if known is not None), Knowledge(why="no server was asked"))
    return [state for state, _ in answers], knowledge


def _ask_one(host: Host) -> tuple[State, Knowledge | None]:
    script = _service_script(host)
    if host.is_server:
        script += f"; echo; echo '{_CUT}'; " + as_user(host, _server_script(host), host.user)
    lines: list[str] = []
    try:
        shell(host).run(script, lines.append, TIMEOUT)
    except HostError as error:
        return State(unreachable=str(error)), Knowledge(why=f"{host.name} {error}") if host.is_server else None
    service, *rest = "\n".join(lines).split(_CUT)
    return State(service=_service(host, service)), _knowledge(host, rest) if host.is_server else None


def _service_script(host: Host) -> str:
    supervisor = f"{shlex.quote(host.home + '/supervisor/supervisord.conf')}"
    control = (
        f"if [ -e {supervisor} ]; then {shlex.quote(host.venv + '/bin/supervisorctl')} -c {supervisor} "
        f"status {host.service}; else echo absent; fi"
    )
    if host.manager != "systemd":
        return control
    unit = f"systemctl show --property=LoadState,ActiveState --value {host.service}"
    return f"if [ -d /run/systemd/system ]; then {unit}; else {control}; fi"


def _service(host: Host, answer: str) -> str:
    """The service's state in one word: running, or what it is instead."""
    words = answer.split()
    if "absent" in words or "not-found" in words or not words:
        return "not provisioned"
    if len(words) >= 2 and words[0] == host.service:  # supervisorctl: superlink RUNNING pid 123, uptime …
        return words[1].lower()
    if words[0] in ("loaded", "masked"):  # systemctl: LoadState, ActiveState
        return "running" if words[1:] == ["active"] else words[-1]
    return "stopped"  # no supervisord answers


def _server_script(host: Host) -> str:
    home = shlex.quote(host.home)
    ask_flower = flower.command(host.venv, f"{host.home}/flwr", "supernode", "list", "fleet")
    newest = "$(ls -t | head -n 1)"
    return (
        f"{ask_flower} 2>&1; echo; echo '{_CUT}'; cat {home}/nodes.json 2>/dev/null; echo; echo '{_CUT}'; "
        f"cd {home}/runs 2>/dev/null && cd \"{newest}\" && {{ cat devices.csv 2>/dev/null; echo '{_CUT}'; "
        "cat rounds.csv 2>/dev/null; }"
    )


def _knowledge(host: Host, parts: list[str]) -> Knowledge:
    listed, record, devices, rounds = (*parts, "", "", "", "")[:4]
    last = _last_rounds(devices)
    if server_round := max(_rounds(rounds), default=None):
        last[host.name] = server_round
    try:
        online = flower.online(flower.parse(listed))
        names = json.loads(record) if record.strip() else {}
    except flower.FlowerError as error:
        return Knowledge(why=str(error), last_rounds=last)
    except ValueError as error:
        return Knowledge(why=f"{host.home}/nodes.json cannot be read ({error})", last_rounds=last)
    if online and not names:
        return Knowledge(
            why=f"{len(online)} devices are online; without registration they have no names", last_rounds=last
        )
    here = frozenset(name for name, entry in names.items() if entry.get("node_id") in online)
    return Knowledge(online=here, last_rounds=last)


def _last_rounds(devices: str) -> dict[str, int]:
    """The last round that each device answered in, from devices.csv."""
    last: dict[str, int] = {}
    for row in csv.DictReader(io.StringIO(devices.strip())):
        name, number = row.get("host"), row.get("round") or ""
        if name and number.isdecimal():
            last[name] = max(int(number), last.get(name, 0))
    return last


def _rounds(rounds: str) -> Iterable[int]:
    rows = csv.DictReader(io.StringIO(rounds.strip()))
    return [int(row["round"]) for row in rows if (row.get("round") or "").isdecimal()]


def table(hosts: Sequence[Host], states: Sequence[State], known: Knowledge) -> Table:
    """Return the table of the fleet."""
    result = Table(caption=f"online: {known.why}" if known.why else None)
    for name in ("host", "reachable", "service", "online", "cid", "last round"):
        result.add_column(name, justify="right" if name in ("cid", "last round") else "left", overflow="fold")
    for host, state in zip(hosts, states, strict=True):
        if host.is_server or known.online is None:
            online = "-"
        else:
            online = "[green]yes[/]" if host.name in known.online else "[red]no[/]"
        colour = "green" if state.service == "running" else "red"
        result.add_row(
            host.name,
            "[green]yes[/]" if not state.unreachable else _plain(f"no: {state.unreachable}", "red"),
            f"{host.service} " + _plain(state.service, colour) if state.service else "-",
            online,
            "-" if host.cid is None else str(host.cid),
            str((known.last_rounds or {}).get(host.name, "-")),
        )
    return result


def _plain(text: str, colour: str) -> str:
    """Coloured text in which brackets are brackets."""
    return f"[{colour}]{text.replace('[', chr(92) + '[')}[/]"
