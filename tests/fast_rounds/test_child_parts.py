"""What a ClientApp's process does without, and what it does as stock."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from flwr.cli.build import build_fab_from_disk
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL
from flwr.supercore import heartbeat, telemetry

from bench.fleet import APP
from fast_rounds import heartbeats, silence, unpacked
from waits import wait_for


@pytest.fixture
def bundle() -> bytes:
    made: bytes = build_fab_from_disk(APP)
    return made


@pytest.fixture
def install_from_fab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Callable[..., Path], list[bytes]]:
    """What takes the place of flwr's function, with a home of its own; and what was handed on to that one."""
    from flwr.cli.install import install_from_fab as stock

    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    module, handed_on = ModuleType("run_clientapp"), list[bytes]()

    def noted(fab_file: bytes, *, skip_prompt: bool) -> Path:
        handed_on.append(fab_file)
        return stock(fab_file, skip_prompt=skip_prompt)

    vars(module)["install_from_fab"] = noted
    unpacked.install(module)
    return vars(module)["install_from_fab"], handed_on


def test_an_app_is_unpacked_once(
    install_from_fab: tuple[Callable[..., Path], list[bytes]], bundle: bytes, tmp_path: Path
) -> None:
    install, handed_on = install_from_fab
    first, second = (install(bundle, skip_prompt=True) for _ in range(2))
    assert first == second
    assert first.name.endswith(hashlib.sha256(bundle).hexdigest()[:8])
    assert (first / "noop/client.py").is_file()
    assert handed_on == [bundle]


def test_what_is_no_app_is_refused_by_stock(install_from_fab: tuple[Callable[..., Path], list[bytes]]) -> None:
    install, handed_on = install_from_fab
    with pytest.raises(Exception, match="zip"):
        install(b"no zip", skip_prompt=True)
    assert handed_on == [b"no zip"]


@pytest.mark.parametrize(("enabled", "gathers"), [("0", False), ("1", True)])
def test_telemetry_that_is_off_gathers_nothing(monkeypatch: pytest.MonkeyPatch, enabled: str, gathers: bool) -> None:
    gathered: list[object] = []
    monkeypatch.setattr(telemetry, "FLWR_TELEMETRY_ENABLED", enabled)

    def stock(*what: object) -> str:
        gathered.append(what)
        return "disabled"

    monkeypatch.setattr(telemetry, "create_event", stock)
    silence.install()
    assert telemetry.event(telemetry.EventType.PING).result(10) == "disabled"
    assert bool(gathered) == gathers


def test_the_first_heartbeat_comes_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    module, beaten = ModuleType("run_clientapp"), threading.Event()
    heartbeats.install(module)
    waits: list[float] = []

    def beat() -> bool:
        beaten.set()
        return True

    sender: heartbeat.HeartbeatSender = vars(module)["HeartbeatSender"](beat)
    asleep, stock = threading.Event(), sender._stop_event.wait

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return asleep.wait(60) if len(waits) == 1 else stock(60)

    monkeypatch.setattr(sender._stop_event, "wait", wait)
    sender.start()
    wait_for(lambda: len(waits) == 1, "it waits")
    assert not beaten.is_set()
    assert 10 < waits[0] < HEARTBEAT_DEFAULT_INTERVAL
    asleep.set()
    wait_for(beaten.is_set, "it beats")
    sender.stop()
