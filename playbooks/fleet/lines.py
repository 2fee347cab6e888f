"""Lines from many hosts at once, each with its host before it: `fab logs` and `fab run`."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Text

from fleet.hosts import Host
from fleet.shell import HostError, Shell, as_user, on_all, shell

_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "bright_cyan", "bright_magenta", "bright_yellow")


def log_script(host: Host, lines: int, follow: bool) -> str:
    """Return the command that prints the last lines of the host's service, and with `follow` those to come."""
    path = shlex.quote(f"{host.home}/log/{host.service}.log")
    tail = as_user(host, f"exec tail -n {lines} {'-F ' if follow else ''}{path}", host.user)
    if host.manager != "systemd":
        return tail
    apps = "" if host.is_server else " --unit clientapps"  # where apps have a user of their own
    journal = f"exec journalctl --unit {host.service}{apps} --no-pager --lines {lines}{' --follow' if follow else ''}"
    return f"if [ -d /run/systemd/system ]; then {as_user(host, journal, 'root')}; else {tail}; fi"


def run_on_all(
    hosts: Sequence[Host], script: Callable[[Host], str], timeout: float | None, console: Console
) -> dict[str, str]:
    """Run each host's script and print its lines as they come.

    Returns why, for each host that failed: its exit status, or that it cannot be reached. Ctrl-C ends what runs.
    """
    width = max(len(host.name) for host in hosts)
    shells: list[Shell] = []
    failed: dict[str, str] = {}
    ended = threading.Event()

    def work(host: Host) -> None:
        colour = _COLOURS[hosts.index(host) % len(_COLOURS)]

        def show(line: str, style: str = "") -> None:
            prefix = Text(f"{host.name:>{width}} | ", style=colour)
            console.print(prefix + Text.from_ansi(line, style=style), soft_wrap=True, highlight=False)

        here = shell(host)
        shells.append(here)
        try:
            status = here.run(script(host), show, timeout)
        except HostError as error:
            if ended.is_set():
                return
            failed[host.name] = str(error)
            show(str(error), "red")
            return
        if status != 0 and not ended.is_set():
            failed[host.name] = f"exit status {status}"
            show(failed[host.name], "red")

    def end() -> None:
        ended.set()
        for one in shells:
            one.close()

    try:
        on_all(hosts, work, end)
    except KeyboardInterrupt:
        return {}
    return failed
