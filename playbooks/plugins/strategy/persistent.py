"""Ansible's own order of work, with one Python on each host that stays for the length of a play.

By default each task starts a Python on the host, which unpacks and imports Ansible's library anew; on a small board
that takes longer than most tasks do. Mitogen (https://mitogen.networkgenomics.com) keeps one there for each user.

Ansible's apt module has a Python of its own all the same: where python3-apt is missing, it installs that and starts
itself anew, which Mitogen cannot do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible.plugins.loader import connection_loader
from ansible.plugins.strategy import linear
from ansible_mitogen import affinity, loaders
from ansible_mitogen.strategy import StrategyMixin

from fleet.unforked import AsksItsHostError, Unforked

DOCUMENTATION = """
name: persistent
short_description: Tasks in Ansible's linear order, in a Python that stays on each host
description:
  - C(linear), by Mitogen, with one Python for each host and user in place of one for each task.
  - With E(ANSIBLE_STRATEGY=linear) in the environment it is C(linear) itself, where a fault is looked for.
"""
SSH = {
    # As ansible.cfg has it for ssh: a host that is cut off is given up after 45 seconds, and not after five minutes.
    "mitogen_ssh_keepalive_interval": 15,
    "mitogen_ssh_keepalive_count": 3,
    # What is large is packed already; to pack it again takes longer than to send it.
    "mitogen_ssh_compression": False,
}

STARTS_ITSELF_ANEW = {"ansible.builtin.apt"}

# Mitogen gives each of its processes a core: on a machine of two, all of Ansible's work would have one. And what is
# started on this machine would keep to that core, a service and its training, too.
affinity.policy = affinity.Policy()


@contextmanager
def ansibles_connections(wanted: bool) -> Iterator[None]:
    """Let the forks that are made meanwhile have Ansible's own connection; to that Mitogen's actions give way."""
    mitogens = connection_loader.get_with_context
    if wanted:
        connection_loader.get_with_context = loaders.connection_loader__get_with_context
    try:
        yield
    finally:
        connection_loader.get_with_context = mitogens


class StrategyModule(Unforked, StrategyMixin, linear.StrategyModule):  # type: ignore[misc]
    """Mitogen's C(mitogen_linear), found where this project's other plugins are."""

    def run(self, iterator: Any, play_context: Any) -> int:
        if os.environ.get("ANSIBLE_STRATEGY") == "linear":
            return int(linear.StrategyModule.run(self, iterator, play_context))
        return int(super().run(iterator, play_context))

    def _queue_task(self, host: Any, task: Any, task_vars: dict[str, Any], play_context: Any) -> None:
        for name, value in SSH.items():
            task_vars.setdefault(name, value)
        with ansibles_connections(task.action in STARTS_ITSELF_ANEW):
            super()._queue_task(host, task, task_vars, play_context)

    def _do_here(self, *task: Any) -> None:
        if os.environ.get("ANSIBLE_STRATEGY") == "linear":
            raise AsksItsHostError
        super()._do_here(*task)
