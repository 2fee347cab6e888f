"""Fixtures of the app's tests: nothing is written outside pytest's temporary folders."""

from pathlib import Path

import pytest
from fl_app.settings import Config

from .fleet import config_of


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder under which runs by hand keep their data and results."""
    for name in ("FL_DATA_DIR", "FL_RUNS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FL_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "home" / "flowerbed"


@pytest.fixture
def config() -> Config:
    """Return the default settings."""
    return Config.of(config_of())
