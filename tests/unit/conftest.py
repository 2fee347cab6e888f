"""What several tests of this folder stand on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

STANDIN = Path(__file__).parent / "standin_flwr.py"


class StandIn:
    """A server's folders with a stand-in for the command `flwr`."""

    def __init__(self, folder: Path) -> None:
        self.home, self.venv = folder / "home", folder / "venv"
        self.flwr_home, self.flwr = self.home / "flwr", self.venv / "bin" / "flwr"
        self.flwr_home.mkdir(parents=True)
        self.flwr.parent.mkdir(parents=True)
        started = f"import runpy\nrunpy.run_path({str(STANDIN)!r}, run_name='__main__')\n"
        self.flwr.write_text(f"#!{sys.executable}\n{started}")
        self.flwr.chmod(0o755)
        (self.flwr.parent / "python").symlink_to(sys.executable)
        (self.flwr_home / "config.toml").touch()

    @property
    def state(self) -> dict[str, Any]:
        """What it has been told so far."""
        content: dict[str, Any] = json.loads((self.flwr_home / "state.json").read_text())
        return content

    def put(self, state: dict[str, Any]) -> None:
        """Have it know nodes and runs."""
        (self.flwr_home / "state.json").write_text(json.dumps({"last": 100, "nodes": {}, "runs": {}, **state}))

    def calls(self) -> list[str]:
        """The subcommands that were called since the last time."""
        path = self.flwr_home / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def take_down(self) -> None:
        """Have it fail as when no SuperLink listens."""
        (self.flwr_home / "down").touch()


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[StandIn]:
    """A stand-in for `flwr` on a server of its own; followers of runs that have not ended end with it."""
    made = StandIn(tmp_path / "server")
    yield made
    for path in made.home.glob("runs/*/follower"):
        with suppress(psutil.NoSuchProcess):
            follower = psutil.Process(int(path.read_text().split()[0]))
            if str(made.venv) in " ".join(follower.cmdline()):
                follower.kill()
