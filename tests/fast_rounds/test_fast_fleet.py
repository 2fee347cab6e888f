"""Fast rounds lose nothing of stock Flower: a real SuperLink and two SuperNodes with TLS and keys of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.fleet import Fleet, copy_of_app
from waits import gone, wait_for

LIMIT = 240.0  # the tests share two cores with what else runs there
QUICK: dict[str, Any] = {"evaluate": False, "limit": LIMIT}


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fast") / "fleet", 2, secure=True) as fleet:
        yield fleet


def by_cid(result: dict[str, Any], name: str) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for reply in result["replies"]:
        if "error" not in reply:
            found.setdefault(int(reply["cid"]), []).append(reply[name])
    return found


def test_processes_are_forked_fresh_each_and_keep_the_state(fast: Fleet) -> None:
    result = fast.run(rounds=3, limit=LIMIT)
    assert result["grid"] == "FastGrid"
    assert by_cid(result, "rounds") == {0: [1, 2, 3], 1: [1, 2, 3]}
    parents = by_cid(result, "parent")
    assert {cid: len(set(pids)) for cid, pids in parents.items()} == {0: 1, 1: 1}
    assert parents[0][0] != parents[1][0]
    for draw in ("pid", "numpy", "python", "torch"):
        seen = [value for values in by_cid(result, draw).values() for value in values]
        assert len(set(seen)) == 6, draw
    for log in ("supernode0", "supernode1", "superlink"):
        assert b"fast_rounds:" not in fast.log(log)


@pytest.mark.parametrize(("crash", "said"), [("kill", "SIGKILL"), ("exit", "exit status 0"), ("raise", "RuntimeError")])
def test_a_process_that_falls_is_reported_at_once(fast: Fleet, crash: str, said: str) -> None:
    result = fast.run(rounds=2, crash=crash, crash_in=2, torch=False, **QUICK)
    errors = [reply["error"] for reply in result["replies"] if "error" in reply]
    assert len(errors) == 1
    assert said in errors[0]
    assert by_cid(result, "rounds") == {0: [1], 1: [1, 2]}
    assert result["ends"][2] - result["ends"][1] < 30  # the heartbeats take 60 s to run out


def test_a_new_run_brings_new_code(fast: Fleet, tmp_path: Path) -> None:
    assert set(by_cid(fast.run(rounds=1, torch=False, **QUICK), "code")[0]) == {1}
    changed = fast.run(copy_of_app(tmp_path, code=2), rounds=1, torch=False, **QUICK)
    assert set(by_cid(changed, "code")[0]) == {2}


def test_two_runs_at_once_keep_apart(fast: Fleet, tmp_path: Path) -> None:
    other = copy_of_app(tmp_path, code=3)
    paths = [
        fast.submit(rounds=4, seconds=0.5, torch=False, evaluate=False),
        fast.submit(other, rounds=3, torch=False, evaluate=False),
    ]
    first, second = (fast.result(path, LIMIT) for path in paths)
    assert by_cid(first, "rounds") == {0: [1, 2, 3, 4], 1: [1, 2, 3, 4]}
    assert by_cid(second, "rounds") == {0: [1, 2, 3], 1: [1, 2, 3]}
    assert {code for codes in by_cid(first, "code").values() for code in codes} == {1}
    assert {code for codes in by_cid(second, "code").values() for code in codes} == {3}


def test_the_model_is_stock_flowers_to_the_last_bit(fast: Fleet, tmp_path: Path) -> None:
    with Fleet(tmp_path / "stock", 2, server="stock", devices="stock") as stock:
        expected = stock.run(rounds=2, **QUICK)
    assert expected["grid"] == "HttpGrid"
    found = fast.run(rounds=2, **QUICK)
    assert found["weights"] == expected["weights"]
    assert set(found["weights"]) != {"0"}


@pytest.mark.parametrize("warm", ["on", "cold"])
def test_the_executor_may_be_apart_with_its_secret(tmp_path: Path, warm: str) -> None:
    with Fleet(tmp_path / "apart", 1, isolated=True, warm=warm) as fleet:
        result = fleet.run(rounds=2, torch=False, **QUICK)
    assert by_cid(result, "rounds") == {0: [1, 2]}


@pytest.mark.parametrize("devices", ["fast", "stock"])
def test_apps_may_be_started_by_a_process_of_another_user(tmp_path: Path, devices: str) -> None:
    with Fleet(tmp_path / "apart", 1, apart=True, devices=devices) as fleet:
        starter, executor = fleet.processes[-2:]
        result = fleet.run(rounds=2, torch=False, **QUICK)
        parents = set(by_cid(result, "parent")[0])
        assert by_cid(result, "rounds") == {0: [1, 2]}
        assert parents == {starter.pid}
        if devices == "fast":
            assert psutil.Process(executor.pid).children(recursive=True) == []
            fell = fleet.run(rounds=2, crash="kill", crash_in=2, torch=False, **QUICK)
            (error,) = [reply["error"] for reply in fell["replies"] if "error" in reply]
            assert "SIGKILL" in error
            assert fell["ends"][2] - fell["ends"][1] < 30
        assert b"fast_rounds:" not in fleet.log("superexec0")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_supernode_without_its_executor_ends(tmp_path: Path, how: int) -> None:
    with Fleet(tmp_path / "alone", 1) as fleet:
        supernode = fleet.processes[1]
        (executor,) = psutil.Process(supernode.pid).children()
        executor.send_signal(how)
        wait_for(lambda: supernode.poll() is not None, "the SuperNode ends", 60)
        assert supernode.returncode == 0
        assert b"the executor has ended, and the SuperNode ends with it" in fleet.log("supernode0")


def test_both_are_told_to_end_and_only_that_is_said(tmp_path: Path) -> None:
    with Fleet(tmp_path / "both", 1) as fleet:
        supernode = fleet.processes[1]
        os.killpg(supernode.pid, signal.SIGTERM)  # as systemd and supervisor do it
        wait_for(lambda: supernode.poll() is not None, "the SuperNode ends", 60)
        assert supernode.returncode == 0
        assert b"fast_rounds:" not in fleet.log("supernode0")


def test_nothing_is_left_when_the_fleet_ends(tmp_path: Path) -> None:
    with Fleet(tmp_path / "ended", 1) as fleet:
        result = fleet.run(rounds=1, torch=False, **QUICK)
        warm = psutil.Process(by_cid(result, "parent")[0][0])
        supernode = fleet.processes[1]
        assert warm in psutil.Process(supernode.pid).children(recursive=True)
        supernode.kill()  # the hardest way: nobody is told
        supernode.wait()
        wait_for(lambda: gone(warm.pid), "the warm process ends", 30)
