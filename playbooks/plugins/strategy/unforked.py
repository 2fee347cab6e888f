"""Ansible's own order of work; what asks nothing of a host is done without a fork."""

from __future__ import annotations

from ansible.plugins.strategy import linear

from fleet.unforked import Unforked

DOCUMENTATION = """
name: unforked
short_description: Tasks in Ansible's linear order, without a fork for what asks nothing of a host
description:
  - C(linear), but skipped tasks, includes, facts that are set, and refusals are done in Ansible's own process.
  - With E(ANSIBLE_STRATEGY=linear) in the environment, where a fault is looked for, C(linear) is used in its place.
"""


class StrategyModule(Unforked, linear.StrategyModule):  # type: ignore[misc]
    """See C(fleet.unforked)."""
