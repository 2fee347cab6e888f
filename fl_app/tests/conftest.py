"""Fixtures of the app's tests: nothing is written outside pytest's temporary folders."""

from pathlib import Path
from typing import Any

import pytest
import torch._dynamo  # noqa: F401 (before Ansible, which other tests load, puts a class in the place of sys.intern)

from fl_app.settings import Config

from .app_fleet import Fault, Fleet, Run, config_of, last, serve


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the parts that runs by hand make, which all tests share."""
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, parts: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder under which runs by hand keep their data and results."""
    folder = tmp_path_factory.mktemp("home") / "flowerbed"
    folder.mkdir()
    (folder / "data").symlink_to(parts)
    for name in ("FL_DATA_DIR", "FL_RUNS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder.parent))
    monkeypatch.setenv("FL_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


@pytest.fixture
def config() -> Config:
    """Return the default settings."""
    return Config.of(config_of())


@pytest.fixture
def run(home: Path) -> Run:
    """Return a function that trains by hand, without a playbook, and returns the run's folder."""
    runs: list[int] = []

    def start(devices: int = 3, fault: Fault | None = None, **settings: Any) -> Path:
        runs.append(len(runs) + 1)
        nodes = [{"partition-id": cid, "num-partitions": devices, "host": f"pi-{cid}"} for cid in range(devices)]
        try:
            serve(Fleet(config_of(**settings), nodes, fault), runs[-1])
        finally:
            last.append(home / "runs" / str(runs[-1]))
        return last[-1]

    return start
