"""`--limit` names devices: the controller and the server stay in, without which no device can be set up or trained."""

from __future__ import annotations

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: limit
type: aggregate
short_description: Keeps localhost and the server in whatever C(--limit) leaves out
description:
  - Ansible would skip every play of a host that C(--limit) leaves out, localhost's too.
"""
KEPT = ["localhost", "server"]


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "limit"

    def v2_playbook_on_start(self, playbook):  # type: ignore[no-untyped-def]
        if not context.CLIARGS.get("subset"):
            return
        # The only moment when the inventory can be had and no play has chosen its hosts yet.
        inventory = playbook.get_plays()[0].get_variable_manager()._inventory
        inventory.subset([*(host.name for host in inventory.get_hosts()), *KEPT])
