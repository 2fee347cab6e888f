"""How the tests are shared out among processes: some share what is made once, some would disturb each other."""

from __future__ import annotations

from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling

LABS = ("test_lab", "test_molecule", "test_over_ssh", "test_pi")


class SideBySide(LoadScopeScheduling):  # type: ignore[misc]
    """Give a file's tests to one process, and to one in all those that boot labs, or share a fleet on this machine."""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePath(nodeid.split("::")[0])
        if path.parent.name != "integration":
            return str(path)
        # Labs compare the machine before and after.
        return "labs" if path.name.startswith(LABS) else "fleets"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SideBySide:
    return SideBySide(config, log)
