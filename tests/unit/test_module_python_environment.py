"""The module python_environment, with real wheels, a real uv and no index."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from unit.driving import run_module

UV = Path(sys.executable).parent / "uv"


def make_wheel(folder: Path, name: str, version: str) -> Path:
    """Write a wheel with one module that knows its version (PEP 427)."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, content)
    return path


class Hands:
    """What a host is handed: wheels, their lock, uv."""

    def __init__(self, folder: Path, *packages: tuple[str, str]) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "uv").symlink_to(UV)
        lines = []
        for name, version in packages:
            digest = hashlib.sha256(make_wheel(folder, name, version).read_bytes()).hexdigest()
            lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")
        # A lock names all that the platform needs; what the host has is not handed over.
        lines.append("elsewhere==1.0 \\\n    --hash=sha256:" + 64 * "0" + "\n")
        (folder / "lock.txt").write_text("".join(lines))


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    hands = Hands(tmp_path / "handed", ("tiny", "1.0"), ("other", "2.0"))
    return {
        "path": str(tmp_path / "venv"),
        "python": sys.executable,
        "packages": {"tiny": "1.0", "other": "2.0"},
        "wheels": str(hands.folder),
    }


def say_version(arguments: dict[str, Any]) -> str:
    python = f"{arguments['path']}/bin/python"
    return subprocess.run([python, "-c", "import tiny; print(tiny.version)"], capture_output=True, text=True).stdout


def test_it_is_made_once(arguments: dict[str, Any]) -> None:
    first = run_module("python_environment", arguments)
    assert first["changed"]
    assert first["lacking"] == ["other", "tiny"]
    assert say_version(arguments) == "1.0\n"
    second = run_module("python_environment", {**arguments, "wheels": None})
    assert (second["changed"], second["lacking"]) == (False, [])


def test_check_mode_shows_what_would_come(arguments: dict[str, Any]) -> None:
    looked = run_module("python_environment", arguments, check=True)
    assert looked["changed"]
    assert looked["diff"]["before"] == ""
    assert looked["diff"]["after"] == "other 2.0\ntiny 1.0\n"
    assert not Path(arguments["path"]).exists()


def test_nobody_else_may_write_into_it(arguments: dict[str, Any]) -> None:
    before = os.umask(0o022)
    try:
        run_module("python_environment", arguments)
    finally:
        os.umask(before)
    modes = {path: path.lstat().st_mode for path in Path(arguments["path"]).rglob("*")}
    assert [path for path, mode in modes.items() if mode & 0o022 and not stat.S_ISLNK(mode)] == []


def test_only_what_differs_is_installed(arguments: dict[str, Any], tmp_path: Path) -> None:
    run_module("python_environment", arguments)
    # Of another length: Python takes byte code for current by its source's size and second.
    newer = Hands(tmp_path / "newer", ("tiny", "1.10"))
    wanted = {**arguments, "packages": {"tiny": "1.10", "other": "2.0"}, "wheels": str(newer.folder)}
    assert run_module("python_environment", wanted)["lacking"] == ["tiny"]
    assert say_version(arguments) == "1.10\n"


def test_an_environment_with_what_is_not_wanted_is_made_anew(arguments: dict[str, Any], tmp_path: Path) -> None:
    run_module("python_environment", arguments)
    hands = Hands(tmp_path / "again", ("tiny", "1.0"))
    wanted = {**arguments, "packages": {"tiny": "1.0"}, "unwanted": ["other"], "wheels": str(hands.folder)}
    looked = run_module("python_environment", wanted, check=True)
    assert (looked["changed"], looked["lacking"]) == (True, ["tiny"])
    assert run_module("python_environment", wanted)["changed"]
    assert not list(Path(arguments["path"]).rglob("other.py"))
    assert not run_module("python_environment", wanted)["changed"]


def test_a_wheel_that_was_altered_is_refused(arguments: dict[str, Any]) -> None:
    wheel = next(Path(arguments["wheels"]).glob("tiny-*.whl"))
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("more.py", "")
    result = run_module("python_environment", arguments)
    assert result["failed"]
    assert "hash" in result["msg"].lower()


def test_what_is_not_handed_over_is_named(arguments: dict[str, Any]) -> None:
    result = run_module("python_environment", {**arguments, "packages": {"tiny": "1.0", "absent": "3.0"}})
    assert result["msg"] == f"still not installed in {arguments['path']}: absent"


def test_an_environment_whose_python_went_away_is_made_anew(arguments: dict[str, Any]) -> None:
    run_module("python_environment", arguments)
    assert not Path(arguments["wheels"]).exists()  # a card has better uses for 200 MB
    Hands(Path(arguments["wheels"]), ("tiny", "1.0"), ("other", "2.0"))
    python = Path(arguments["path"], "bin/python")
    python.unlink()
    python.symlink_to("/nowhere/python3")  # as after an upgrade of the distribution
    assert run_module("python_environment", arguments)["changed"]
    assert say_version(arguments) == "1.0\n"


def test_a_python_that_does_not_run_is_named(arguments: dict[str, Any]) -> None:
    result = run_module("python_environment", {**arguments, "python": "/nowhere/python3"})
    assert result["msg"] == "/nowhere/python3 does not run"
    assert not os.path.lexists(arguments["path"])
