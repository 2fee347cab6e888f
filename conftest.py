"""How the tests are shared out among processes: some share what is made once, some would disturb each other."""

from __future__ import annotations

from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling

LABS = ("test_lab", "test_over_ssh", "test_pi", "test_provision_arm64")
OWN = ("test_molecule.py", "test_fresh_clone.py")  # with hosts or fleets of their own


def group(nodeid: str) -> str:
    """Return what a test is in one process with: its file, or all that boot labs, or share a fleet on this machine."""
    path = PurePath(nodeid.split("::")[0])
    if path.parent.name != "integration" or path.name in OWN:
        return path.name
    return "labs" if path.name.startswith(LABS) else "fleets"


class SideBySide(LoadScopeScheduling):  # type: ignore[misc]
    """Give a group's tests to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SideBySide:
    return SideBySide(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    order = ["test_molecule.py", "fleets", "labs", *OWN]
    items.sort(key=lambda item: order.index(found) if (found := group(item.nodeid)) in order else len(order))
