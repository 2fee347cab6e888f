"""fleet.wheels: a platform's packages, pinned and fetched on the controller, from the package index that pip uses."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from fleet.wheels import Cache, Platform, WheelError, find_wheel, pip_settings, uv_options, versions
from unit.driving import ROOT

PI = Platform("aarch64", "3.11", "2.36")
CONSTRAINTS = [ROOT / "files/constraints" / name for name in ("fleet.txt", "aarch64.txt")]


@pytest.mark.parametrize(
    ("glibc", "uv"),
    [
        ("2.17", "aarch64-manylinux_2_17"),
        ("2.30", "aarch64-manylinux_2_28"),
        ("2.36", "aarch64-manylinux_2_36"),
        ("2.99", "aarch64-manylinux_2_40"),
    ],
)
def test_uv_is_asked_for_the_newest_platform_that_the_host_satisfies(glibc: str, uv: str) -> None:
    assert Platform("aarch64", "3.11", glibc).uv == uv


def test_pip_is_told_every_tag_that_the_host_takes() -> None:
    options = Platform("x86_64", "3.12", "2.19").pip
    assert "cp312" in options
    assert {"manylinux_2_17_x86_64", "manylinux_2_19_x86_64", "manylinux2014_x86_64"} <= set(options)
    assert "manylinux_2_20_x86_64" not in options


def test_the_users_pip_settings_count_for_uv_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://file.example/simple\nfind-links = /a /b\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    for name in [name for name in os.environ if name.startswith("PIP_") and name != "PIP_CONFIG_FILE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "https://environment.example/simple")
    options = uv_options(pip_settings("https://torch.example/cpu"))
    assert options[options.index("--default-index") + 1] == "https://environment.example/simple"
    assert options[options.index("--index") + 1] == "https://torch.example/cpu"
    assert [options[at + 1] for at, word in enumerate(options) if word == "--find-links"] == ["/a", "/b"]


def test_torch_for_a_board_comes_without_cuda(tmp_path: Path) -> None:
    pins = versions(Cache(tmp_path, PI).lock(["flwr", "torch", "torchvision"], CONSTRAINTS))
    assert pins["torch"] == "2.10.0"
    assert f"flwr=={pins['flwr']}" in CONSTRAINTS[0].read_text()
    assert not [name for name in pins if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_a_lock_is_kept_and_the_archive_holds_what_is_lacking_and_uv(tmp_path: Path) -> None:
    cache = Cache(tmp_path, PI)
    lock = cache.lock(["markupsafe==3.0.3"], [])
    assert cache.lock(["markupsafe==3.0.3"], []) == lock
    assert versions(lock).keys() == {"markupsafe", "uv"}
    archive = cache.pack(lock, ["markupsafe"])
    with tarfile.open(archive) as files:
        names = files.getnames()
        assert files.getmember("uv").mode == 0o755
    assert sorted(name.split("-")[0] for name in names) == ["lock.txt", "markupsafe", "uv"]
    wheel = find_wheel(cache.wheels, "markupsafe", "3.0.3")
    assert wheel is not None
    assert "aarch64" in wheel.name


def test_what_has_no_wheel_for_the_platform_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match=r"^no wheels for aarch64, Python 3\.11, glibc 2\.36: .*markupsafe") as caught:
        Cache(tmp_path, PI).lock(["markupsafe==0.0.0"], [])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.lock"))
