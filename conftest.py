"""How the tests are shared out among processes: some share what is made once, some would disturb each other."""

from __future__ import annotations

from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling

LABS = ("test_lab", "test_over_ssh", "test_pi", "test_provision_arm64")
MOLECULE = "test_molecule.py"
OWN = ("test_fresh_clone.py", "test_tensorflow.py", "test_strategy.py", MOLECULE)  # with hosts or fleets of their own


def group(nodeid: str) -> str:
    """Return what a test is in one process with: its file, or all that boot labs, or share a fleet on this machine.

    A role's scenario is alone with itself.
    """
    path = PurePath(nodeid.split("::")[0])
    if path.name == MOLECULE:
        return nodeid
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
    order = ["labs", "fleets", *OWN]

    def place(item: pytest.Item) -> int:
        found = group(item.nodeid).split("::")[0].rpartition("/")[2]
        return order.index(found) if found in order else len(order)

    items.sort(key=place)
