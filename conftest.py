"""How the tests are shared out among processes: some share what is made once, some would disturb each other."""

from __future__ import annotations

import pytest


def group(item: pytest.Item) -> str:
    """Return the name of the tests that one process runs, one after another."""
    name = item.path.name
    if item.path.parent.name != "integration":
        return str(item.path)
    # Labs compare the machine before and after; the other integration tests share a fleet on this machine.
    return "lab" if name.startswith(("test_lab", "test_molecule", "test_over_ssh", "test_pi")) else "fleet"


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.xdist_group(group(item)))
