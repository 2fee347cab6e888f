"""The module swap_file, up to where it would switch swap on: that is shown on hosts of the lab."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from unit.driving import MODULES, run_module

pytestmark = pytest.mark.skipif(shutil.which("mkswap") is None, reason="swap needs Linux and mkswap")


@pytest.fixture(scope="module")
def swap_file() -> ModuleType:
    spec = importlib.util.spec_from_file_location("swap_file", MODULES / "swap_file.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["swap_file"] = module
    spec.loader.exec_module(module)
    return module


def make(path: Path, mib: int) -> Path:
    path.write_bytes(bytes(mib * 2**20))
    path.chmod(0o600)
    subprocess.run(["mkswap", path], check=True, capture_output=True)
    return path


def test_a_whole_swap_file_is_told_from_others(swap_file: ModuleType, tmp_path: Path) -> None:
    assert swap_file.size_of(str(make(tmp_path / "swap", 2))) == 2
    (tmp_path / "plain").write_bytes(bytes(2**20))
    assert swap_file.size_of(str(tmp_path / "plain")) == 0
    with (tmp_path / "swap").open("r+b") as file:
        file.truncate(0)
        file.truncate(2**21)  # of holes alone
    assert swap_file.size_of(str(tmp_path / "swap")) == 0
    assert swap_file.size_of(str(tmp_path / "none")) == 0


def test_a_file_that_is_not_switched_on_is_not_active(swap_file: ModuleType, tmp_path: Path) -> None:
    path = make(tmp_path / "swap", 1)
    before = path.read_bytes()
    assert not swap_file.active(str(path))
    assert path.read_bytes() == before
    assert not swap_file.active(str(tmp_path / "none"))
    assert list(tmp_path.iterdir()) == [path]


def test_finds_what_a_path_is_on(swap_file: ModuleType, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    lines = ["/dev/mmcblk0p2 / ext4 rw 0 0", "tmpfs /var tmpfs rw 0 0", "/dev/sda1 /variety btrfs rw 0 0"]
    mounts.write_text("\n".join(lines) + "\n")
    assert swap_file.home("/swapfile", mounts) == ("/dev/mmcblk0p2", "ext4")
    assert swap_file.home("/var/swap", mounts) == ("tmpfs", "tmpfs")
    assert swap_file.home("/variety/swap", mounts) == ("/dev/sda1", "btrfs")


def test_refuses_a_file_system_that_cannot_hold_it(swap_file: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(swap_file.RefusedError, match=r"is on overlay, which cannot hold a swap file; allowed: ext4, "):
        swap_file.check(str(tmp_path / "swap"), 1, 0, "overlay")


def test_refuses_what_the_reserve_does_not_leave(swap_file: ModuleType, tmp_path: Path) -> None:
    path = str(tmp_path / "swap")
    there = swap_file.free(path)
    swap_file.check(path, 1, there - 2, "ext4")
    with pytest.raises(
        swap_file.RefusedError, match=r"^10 MB would leave \d+ MB free .* allowed: up to \d MB, so that"
    ):
        swap_file.check(path, 10, there - 5, "ext4")


def test_what_the_old_file_takes_counts_as_free(swap_file: ModuleType, tmp_path: Path) -> None:
    path = make(tmp_path / "swap", 64)
    own = swap_file.free(str(path))
    assert own - swap_file.free(str(tmp_path / "other")) == pytest.approx(64, abs=16)


def test_without_swap_nothing_is_changed(tmp_path: Path) -> None:
    assert not run_module("swap_file", {"path": str(tmp_path / "swap"), "size": 0})["changed"]


def test_check_mode_says_what_would_be(tmp_path: Path) -> None:
    path = make(tmp_path / "swap", 1)
    found = run_module("swap_file", {"path": str(path), "size": 0}, check=True)
    assert (found["changed"], found["previous"]) == (True, 0)
    assert found["diff"]["after"] == f"{path}: no swap\n"
    assert path.exists()


def test_removes_a_file_that_is_not_switched_on(tmp_path: Path) -> None:
    path = make(tmp_path / "swap", 1)
    assert run_module("swap_file", {"path": str(path), "size": 0})["changed"]
    assert not path.exists()
