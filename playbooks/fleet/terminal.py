"""What an action tells the user while it runs."""

from __future__ import annotations

from ansible import constants
from ansible.utils.display import Display


def warn(text: str) -> None:
    """Show a warning at once.

    Ansible's own `Display().warning` leaves it in the task's result, which is not shown where a task is ok
    (`display_ok_hosts = false` in ansible.cfg).
    """
    Display().display(f"[WARNING]: {text}", color=constants.COLOR_WARN, stderr=True)
