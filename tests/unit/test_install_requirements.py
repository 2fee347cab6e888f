"""Which build of torch `make` asks pip for."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from ports import free_ports

SCRIPT = Path(__file__).resolve().parents[2] / "files/install_requirements.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_requirements", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def index() -> Iterator[str]:
    """An index that answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/whl/cpu/torch/" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/whl/cpu"
        server.shutdown()


@pytest.mark.parametrize(
    ("asked", "system", "machine", "gpu", "cpu_build"),
    [
        (None, "Linux", "x86_64", False, True),
        (None, "Linux", "x86_64", True, False),
        ("cpu", "Linux", "x86_64", True, True),
        ("cuda", "Linux", "x86_64", False, False),
        (None, "Linux", "aarch64", False, False),  # PyPI's own is pinned to one without CUDA there
        (None, "Darwin", "arm64", False, False),
    ],
)
def test_the_build(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    system: str,
    machine: str,
    gpu: bool,
    cpu_build: bool,
) -> None:
    monkeypatch.delenv("TORCH", raising=False)
    if asked:
        monkeypatch.setenv("TORCH", asked)
    monkeypatch.setattr(script.platform, "system", lambda: system)
    monkeypatch.setattr(script.platform, "machine", lambda: machine)
    monkeypatch.setattr(script.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if gpu else None)
    assert script.wants_cpu_build() is cpu_build


def test_a_wrong_build_is_named(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH", "rocm")
    with pytest.raises(SystemExit, match=r"TORCH=rocm \(environment\) is not allowed; allowed: auto, cpu, cuda"):
        script.wants_cpu_build()


def test_an_index_is_used_where_it_answers(script: ModuleType, index: str) -> None:
    assert script.index_answers(index)
    assert not script.index_answers(f"{index}/elsewhere")
    assert not script.index_answers(f"http://127.0.0.1:{free_ports(1)[0]}/whl/cpu")
