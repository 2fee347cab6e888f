"""Look at the fleet and run commands on it: `fab --list`. The hosts are those of Ansible's inventory."""

from __future__ import annotations

import sys

from fabric import task
from invoke.context import Context
from invoke.exceptions import Exit
from rich.console import Console

from fleet import lines as fleet_lines
from fleet import status as fleet_status
from fleet.hosts import Host, read_hosts
from fleet.settings import SettingError

INVENTORY = "inventory file or folder; without it the one in ansible.cfg"
HOST = "only these hosts or groups, a pattern as ansible-playbook --limit takes it"


def _hosts(inventory: str, pattern: str) -> list[Host]:
    try:
        return read_hosts(inventory, pattern)
    except SettingError as error:
        raise Exit(f"ERROR: {error}", code=2) from None


@task(help={"inventory": INVENTORY, "host": HOST})  # type: ignore[untyped-decorator]
def status(context: Context, inventory: str = "", host: str = "") -> None:
    """Show each host: reachable, service, online at the SuperLink, cid, last round of the newest run."""
    hosts = _hosts(inventory, host)
    Console().print(fleet_status.table(hosts, *fleet_status.ask(hosts)))


@task(  # type: ignore[untyped-decorator]
    help={
        "inventory": INVENTORY,
        "host": HOST,
        "follow": "go on with the lines to come, until Ctrl-C",
        "lines": "how many of the last lines",
    }
)
def logs(context: Context, inventory: str = "", host: str = "", follow: bool = False, lines: int = 20) -> None:
    """Show the log of each host's service, with the host before each line."""
    hosts = _hosts(inventory, host)
    timeout = None if follow else fleet_status.TIMEOUT

    def script(one: Host) -> str:
        return fleet_lines.log_script(one, lines, follow)

    if fleet_lines.run_on_all(hosts, script, timeout, Console()):
        sys.exit(1)


@task(  # type: ignore[untyped-decorator]
    help={
        "inventory": INVENTORY,
        "host": HOST,
        "cmd": "the command; or write it after --, as in: fab run -- uptime",
        "timeout": "seconds that it may take on a host",
    }
)
def run(context: Context, inventory: str = "", host: str = "", cmd: str = "", timeout: int = 600) -> None:
    """Run a shell command on all hosts, side by side. Exit status 1 when it failed on any."""
    if not cmd:
        raise Exit("ERROR: no command; allowed: fab run -- CMD, or fab run --cmd CMD", code=2)
    hosts = _hosts(inventory, host)
    failed = fleet_lines.run_on_all(hosts, lambda _: cmd, timeout, Console())
    if failed:
        print(f"failed on {len(failed)} of {len(hosts)}: {', '.join(sorted(failed))}", file=sys.stderr)
        sys.exit(1)
