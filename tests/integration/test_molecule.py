"""Each role's molecule scenario, on hosts of the lab. `make test ROLE=service` runs one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .turns import beside_others

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir())
PATIENCE = 1200  # seconds; a scenario takes about a minute once the lab's cache is filled, and one compiles CPython

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root"),
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A working folder of its own, and with it a lab of its own, for each scenario."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path), "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "PATH": path}
    return {**os.environ, **own}


def molecule(role: str, command: str, environment: dict[str, str]) -> tuple[int, str]:
    """Run one of molecule's commands for a role; return its exit status and its output."""
    config = str(ROOT / ".config" / "molecule" / "config.yml")
    with subprocess.Popen(
        [sys.executable, ROOT / "tests/lab/molecule/run.py", "--base-config", config, command],
        cwd=ROOT / "roles" / role,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except BaseException:
            os.killpg(process.pid, 15)
            raise
    return process.returncode, output


@pytest.fixture
def scenario(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Callable[[], tuple[int, str]]]:
    """What runs a role's scenario, whose hosts are gone in the end, also when the test was interrupted."""
    role: str = request.param
    passed = False

    def test() -> tuple[int, str]:
        nonlocal passed
        status, output = molecule(role, "test", environment)
        passed = status == 0  # the last step of it takes the hosts down
        return status, output

    with beside_others():
        yield test
        if passed:
            return
        status, output = molecule(role, "destroy", environment)
    assert status == 0, output


def failed(output: str) -> str:
    """Return the tasks and steps that failed, of thousands of lines with diffs; all of it, where none did."""
    steps = re.split(r"^(?=TASK \[|PLAY |RUNNING HANDLER|INFO |CRITICAL|ERROR)", output, flags=re.MULTILINE)
    found = [step for step in steps if re.search(r"^(fatal: |failed: |CRITICAL|ERROR)", step, flags=re.MULTILINE)]
    return "".join(found) or output


def with_needs(role: str) -> object:
    """A role, with what its scenario needs of this machine."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    absent = pytest.mark.skipif(not (pyenv / ".git").is_dir(), reason=f"needs a checkout of pyenv in {pyenv}")
    return pytest.param(role, marks=absent) if role == "pyenv" else role


@pytest.mark.parametrize("scenario", [with_needs(role) for role in ROLES], indirect=True)
@pytest.mark.timeout(2 * PATIENCE)
def test_scenario(scenario: Callable[[], tuple[int, str]]) -> None:
    status, output = scenario()
    print(output)
    assert status == 0, failed(output)
