"""What an app finds when its ServerApp begins."""

from pathlib import Path

import pytest

from fast_rounds import serverapp


def test_an_app_finds_the_folder_of_its_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FL_RUNS_DIR", str(tmp_path / "runs"))
    serverapp.make_folder(18446744073709551615)
    folder = tmp_path / "runs/18446744073709551615"
    (folder / "mine.txt").write_text("kept")
    assert folder.stat().st_mode & 0o777 == 0o700
    serverapp.make_folder(18446744073709551615)
    assert (folder / "mine.txt").read_text() == "kept"


def test_without_folders_for_runs_none_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FL_RUNS_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    serverapp.make_folder(1)
    assert not list(tmp_path.iterdir())
