"""Ansible's own order of work, with one Python on each host that stays for the length of a play.

By default each task starts a Python on the host, which unpacks and imports Ansible's library anew; on a small board
that takes longer than most tasks do. Mitogen (https://mitogen.networkgenomics.com) keeps one there for each user.

What brings large files, or apt's library, stays with the default (`linear`): Mitogen copies through Python on both
ends, and cannot start a module anew under a Python that has just got python3-apt, as Ansible's apt does.
"""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.strategy import linear
from ansible_mitogen.strategy import StrategyMixin

DOCUMENTATION = """
name: persistent
short_description: Tasks in Ansible's linear order, in a Python that stays on each host
description:
  - C(linear), by Mitogen, with one Python for each host and user in place of one for each task.
  - With E(ANSIBLE_STRATEGY=linear) in the environment it is C(linear) itself, where a fault is looked for.
"""


# As ansible.cfg has it for ssh: a host that is cut off is given up after 45 seconds, and not after five minutes.
ALIVE = {"mitogen_ssh_keepalive_interval": 15, "mitogen_ssh_keepalive_count": 3}


class StrategyModule(StrategyMixin, linear.StrategyModule):  # type: ignore[misc]
    """Mitogen's C(mitogen_linear), found where this project's other plugins are."""

    def run(self, iterator: Any, play_context: Any) -> int:
        if os.environ.get("ANSIBLE_STRATEGY") == "linear":
            return int(linear.StrategyModule.run(self, iterator, play_context))
        return int(super().run(iterator, play_context))

    def _queue_task(self, host: Any, task: Any, task_vars: dict[str, Any], play_context: Any) -> None:
        for name, value in ALIVE.items():
            task_vars.setdefault(name, value)
        super()._queue_task(host, task, task_vars, play_context)
