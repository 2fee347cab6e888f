"""The modules supernode_registration and flwr_run, with a stand-in for the command `flwr`."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from flwr.common.config import parse_config_args

from unit.driving import APP, run_module
from waits import gone, wait_for

if TYPE_CHECKING:
    from unit.conftest import StandIn

LIMIT = 20.0  # seconds for what takes one


def register(
    standin: StandIn, nodes: dict[str, str], *, absent: tuple[str, ...] = (), check: bool = False
) -> dict[str, Any]:
    given = {
        "nodes": nodes,
        "absent": list(absent),
        "flwr": str(standin.flwr),
        "flwr_home": str(standin.flwr_home),
        "record": str(standin.home / "nodes.json"),
        "revoked": str(standin.home / "revoked.json"),
    }
    return run_module("supernode_registration", given, check=check)


def registered(standin: StandIn) -> dict[str, str]:
    """Name to key of the nodes that count."""
    nodes = standin.state["nodes"].values()
    return {node["name"]: node["key"] for node in nodes if node["status"] != "unregistered"}


def test_registers_each_key_once(standin: StandIn) -> None:
    keys = {"a": "key-a", "b": "key-b\n"}
    dry = register(standin, keys, check=True)
    assert (dry["changed"], dry["registered"]) == (True, ["a", "b"])
    assert standin.calls() == ["supernode list"]
    assert not (standin.home / "nodes.json").exists()
    wet = register(standin, keys)
    assert {name: wet[name] for name in ("changed", "registered", "unregistered")} == {
        "changed": True,
        "registered": ["a", "b"],
        "unregistered": [],
    }
    assert registered(standin) == {"a": "key-a", "b": "key-b"}
    standin.calls()
    assert not register(standin, keys)["changed"]
    assert standin.calls() == ["supernode list"]


def test_the_record_pairs_device_key_and_node(standin: StandIn) -> None:
    register(standin, {"a": "key-a"})
    assert json.loads((standin.home / "nodes.json").read_text()) == {"a": {"key": "key-a", "node_id": "101"}}


def test_a_device_that_is_added_leaves_the_others(standin: StandIn) -> None:
    register(standin, {"a": "key-a"})
    result = register(standin, {"a": "key-a", "b": "key-b"})
    assert (result["registered"], result["unregistered"]) == (["b"], [])
    assert result["diff"] == {"before": "a\n", "after": "a\nb\n"}


def test_takes_back_the_key_of_a_device_that_was_flashed_anew(standin: StandIn) -> None:
    register(standin, {"a": "key-a", "b": "key-b"})
    dry = register(standin, {"a": "new-a", "b": "key-b"}, check=True)
    assert (dry["registered"], dry["unregistered"]) == (["a"], ["a"])
    assert registered(standin) == {"a": "key-a", "b": "key-b"}
    wet = register(standin, {"a": "new-a", "b": "key-b"})
    assert (wet["registered"], wet["unregistered"]) == (["a"], ["a"])
    assert registered(standin) == {"a": "new-a", "b": "key-b"}
    assert not register(standin, {"a": "new-a", "b": "key-b"})["changed"]


def test_a_device_that_is_not_asked_for_stays_registered(standin: StandIn) -> None:
    register(standin, {"a": "key-a", "b": "key-b"})
    assert not register(standin, {"b": "key-b"})["changed"]
    assert registered(standin) == {"a": "key-a", "b": "key-b"}


def test_registers_again_after_the_superlink_lost_its_database(standin: StandIn) -> None:
    register(standin, {"a": "key-a"})
    standin.put({})
    assert register(standin, {"a": "key-a"})["registered"] == ["a"]
    assert registered(standin) == {"a": "key-a"}


def test_a_failure_of_flower_fails_the_task_though_its_exit_status_is_0(standin: StandIn) -> None:
    standin.put({"nodes": {"9": {"key": "key-a", "status": "online", "name": "x"}}})
    result = register(standin, {"a": "key-a"})
    assert result["msg"] == "flwr supernode register failed: Public key already in use"


def test_what_was_registered_before_a_failure_is_remembered(standin: StandIn) -> None:
    standin.put({"nodes": {"9": {"key": "key-b", "status": "online", "name": "x"}}})
    assert register(standin, {"a": "key-a", "b": "key-b"})["failed"]
    assert list(json.loads((standin.home / "nodes.json").read_text())) == ["a"]


def test_a_superlink_that_does_not_answer(standin: StandIn) -> None:
    standin.take_down()
    expected = "flwr supernode list failed: Connection to the SuperLink is unavailable."
    assert register(standin, {"a": "key-a"})["msg"] == expected


def test_check_mode_goes_by_the_record_where_the_superlink_is_down(standin: StandIn) -> None:
    register(standin, {"a": "key-a"})
    standin.take_down()
    assert register(standin, {"a": "key-a"}, check=True)["changed"] is False
    assert register(standin, {"a": "key-a", "b": "key-b"}, check=True)["registered"] == ["b"]


def test_a_device_that_is_taken_out_comes_back_with_a_new_key_only(standin: StandIn) -> None:
    register(standin, {"a": "key-a", "b": "key-b"})
    assert register(standin, {}, absent=("a",), check=True)["unregistered"] == ["a"]
    assert set(registered(standin)) == {"a", "b"}
    assert register(standin, {}, absent=("a",))["unregistered"] == ["a"]
    assert registered(standin) == {"b": "key-b"}
    assert register(standin, {}, absent=("a",))["changed"] is False
    again = register(standin, {"a": "key-a"})
    assert again["msg"].startswith("a has a key that was taken out of the fleet; allowed: a new one")
    assert register(standin, {"other": "key-a"})["failed"]
    assert register(standin, {"a": "key-2"})["registered"] == ["a"]


def test_check_mode_before_the_server_is_set_up(standin: StandIn) -> None:
    (standin.flwr_home / "config.toml").unlink()
    shutil.rmtree(standin.venv)
    assert register(standin, {"a": "key-a"}, check=True)["registered"] == ["a"]
    fault = f"{standin.venv}/bin/python cannot be started: No such file or directory"
    assert register(standin, {"a": "key-a"})["msg"] == f"flwr supernode list failed: {fault}"


def test_one_python_makes_all_calls(standin: StandIn) -> None:
    register(standin, {name: f"key-{name}" for name in "abc"})
    assert standin.calls() == ["supernode list", *["supernode register"] * 3]
    assert len(set((standin.flwr_home / "pids").read_text().split())) == 1


def test_a_flwr_that_falls_says_why(standin: StandIn) -> None:
    standin.flwr.write_text("raise RuntimeError('no such module')\n")
    assert register(standin, {"a": "key-a"})["msg"] == "flwr supernode list failed: RuntimeError: no such module"


def run(standin: StandIn, state: str, *, check: bool = False, **more: Any) -> dict[str, Any]:
    given = {"state": state, "venv": str(standin.venv), "home": str(standin.home), **more}
    return run_module("flwr_run", given, check=check)


@pytest.fixture
def fab(standin: StandIn) -> str:
    path = standin.home / "apps" / "me.mine.1-0-0.0a1b2c3d.fab"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pyproject.toml", APP)
    return str(path)


def submit(standin: StandIn, fab: str, **more: Any) -> tuple[str, Path]:
    """Submit a run and return its id and folder."""
    result = run(standin, "submitted", fab=fab, **more)
    assert result["changed"]
    return result["run_id"], standin.home / "runs" / result["run_id"]


def end(standin: StandIn, run_id: str, folder: Path, status: str) -> dict[str, Any]:
    """Have a run end, and return what its follower noted."""
    state = standin.state
    state["runs"][run_id]["status"] = status
    standin.put(state)
    wait_for((folder / "status.json").exists, "the follower notes the end")
    content: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return content


def test_submits_a_run_and_notes_its_log_and_end(standin: StandIn, fab: str) -> None:
    run_id, folder = submit(standin, fab)
    assert run_id == "101"
    assert standin.state["runs"][run_id]["app"] == fab.removesuffix(".fab")
    noted = end(standin, run_id, folder, "finished:completed")
    assert noted["runs"][0]["status"] == "finished:completed"
    assert (folder / "serverapp.log").read_text() == "INFO: the ServerApp's log\n"
    assert not (folder / "status.new").exists()


def test_the_follower_goes_on_while_the_superlink_is_away(standin: StandIn, fab: str) -> None:
    run_id, folder = submit(standin, fab)
    standin.take_down()
    limit = time.monotonic() + LIMIT
    standin.calls()
    while "ls" not in standin.calls():
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert not (folder / "status.json").exists()
    (standin.flwr_home / "down").unlink()
    assert end(standin, run_id, folder, "finished:failed")["runs"][0]["status"] == "finished:failed"


def test_a_run_whose_app_is_gone_is_cut_off(standin: StandIn, fab: str) -> None:
    _, folder = submit(standin, fab)
    with (folder / "alive").open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        for _ in range(2):
            standin.calls()
            wait_for(lambda: "ls" in standin.calls(), "the follower asks again")
        assert not (folder / "status.json").exists()
    wait_for((folder / "status.json").exists, "the follower notes it")
    (noted,) = json.loads((folder / "status.json").read_text())["runs"]
    assert noted["status"] == "cut off"
    assert noted["status-details"].startswith("the ServerApp was cut off")


@pytest.mark.parametrize(("said", "noted"), [("finished:failed", "cut off"), ("finished:stopped", "finished:stopped")])
def test_what_flower_says_of_a_run_whose_app_is_gone(standin: StandIn, fab: str, said: str, noted: str) -> None:
    run_id, folder = submit(standin, fab)
    follower = psutil.Process(int((folder / "follower").read_text().split()[0]))
    follower.suspend()
    standin.put({**(state := standin.state), "runs": {run_id: {**state["runs"][run_id], "status": said}}})
    (folder / "alive").touch()
    follower.resume()
    assert end(standin, run_id, folder, said)["runs"][0]["status"] == noted


def test_a_follower_that_is_gone_is_started_again(standin: StandIn, fab: str) -> None:
    run_id, folder = submit(standin, fab)
    follower = psutil.Process(int((folder / "follower").read_text().split()[0]))
    assert not run(standin, "followed", run_id=run_id)["changed"]
    follower.kill()
    wait_for(lambda: gone(follower.pid), "the follower is gone")
    assert run(standin, "followed", run_id=run_id, check=True)["changed"]
    assert run(standin, "followed", run_id=run_id)["changed"]
    assert end(standin, run_id, folder, "finished:completed")["runs"][0]["status"] == "finished:completed"
    assert not run(standin, "followed", run_id=run_id)["changed"]


def test_check_mode_submits_nothing(standin: StandIn, fab: str) -> None:
    assert run(standin, "submitted", fab=fab, check=True)["changed"]
    assert standin.calls() == []
    assert os.listdir(standin.home / "apps") == [os.path.basename(fab)]


def test_submitting_needs_an_app(standin: StandIn) -> None:
    assert "fab" in run(standin, "submitted")["msg"]


CONFIG = {
    "rounds": 3,
    "lr": 1e-05,
    "shuffle": True,
    "empty": "",
    "strategy-config": "mu=0.1 beta='x'",
    "folder": "/a b/ä #1",
    "smile": "\U0001f600",
    "quotes": """say "it's" \\ done""",
    "lines": "one\ntwo\ttab",
    "train.epochs": 2,
}


@pytest.mark.parametrize("name", CONFIG)
def test_flower_reads_the_run_configuration_as_it_was_meant(standin: StandIn, fab: str, name: str) -> None:
    run_id, folder = submit(standin, fab, config={name: CONFIG[name], "last": 1})
    (standin.home / "given.toml").write_text(standin.state["runs"][run_id]["config"], encoding="utf-8")
    end(standin, run_id, folder, "finished:completed")
    assert parse_config_args([str(standin.home / "given.toml")]) == {name: CONFIG[name], "last": 1}


def test_the_same_app_is_unpacked_once(standin: StandIn, fab: str) -> None:
    for _ in range(2):
        end(standin, *submit(standin, fab), "finished:completed")
    name = os.path.basename(fab)
    assert sorted(os.listdir(standin.home / "apps")) == [name.removesuffix(".fab"), name]


def test_a_run_that_flower_refuses(standin: StandIn, fab: str) -> None:
    standin.take_down()
    result = run(standin, "submitted", fab=fab)
    assert result["user_errors"] == ["flwr: Connection to the SuperLink is unavailable."]
    # It may be that the answer alone was lost: the next playbook looks for a run of which nobody knows.
    assert [path.name for path in (standin.home / "runs").iterdir()] == [".submitting"]


RUNS = {
    "runs": {
        "1": {"status": "finished:completed"},
        "2": {"status": "running"},
        "3": {"status": "pending"},
    }
}


def test_stops_what_is_active_and_nothing_the_second_time(standin: StandIn) -> None:
    standin.put(RUNS)
    assert run(standin, "stopped", check=True) | {"changed": True, "stopped": ["2", "3"]} == run(
        standin, "stopped", check=True
    )
    assert standin.state["runs"] == RUNS["runs"]
    assert run(standin, "stopped")["stopped"] == ["2", "3"]
    assert [one["status"] for one in standin.state["runs"].values()][1:] == ["finished:stopped"] * 2
    second = run(standin, "stopped")
    assert (second["changed"], second["stopped"]) == (False, [])


def test_a_run_that_ends_by_itself_while_it_is_stopped_has_ended(standin: StandIn) -> None:
    standin.put({"runs": {"2": {"status": "ending"}, "3": {"status": "running"}}})
    assert run(standin, "stopped")["stopped"] == ["2", "3"]
    assert [one["status"] for one in standin.state["runs"].values()] == ["finished:failed", "finished:stopped"]


def test_a_run_that_flower_does_not_stop_is_a_fault(standin: StandIn) -> None:
    standin.put({"runs": {"2": {"status": "stuck"}}})
    result = run(standin, "stopped")
    assert result["failed"]
    assert result["user_errors"] == ["flwr: Permission denied"]


def test_stops_the_run_that_is_named(standin: StandIn) -> None:
    standin.put(RUNS)
    assert run(standin, "stopped", run_id="3")["stopped"] == ["3"]
    assert standin.state["runs"]["2"]["status"] == "running"


def followed(standin: StandIn, run_id: str, ago: float) -> None:
    path = standin.home / "runs" / run_id / "followed"
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (time.time() - ago,) * 2)


def test_leaves_a_run_that_a_playbook_follows(standin: StandIn, fab: str) -> None:
    standin.put(RUNS)
    followed(standin, "2", ago=3600)
    followed(standin, "3", ago=1)
    result = run(standin, "submitted", fab=fab, abandoned_after=30)
    assert result["failed"]
    assert result["user_errors"] == [result["msg"]]
    assert result["msg"].startswith("run 3 is followed by another playbook")
    assert standin.state["runs"] == RUNS["runs"]


def test_stops_runs_that_nobody_follows_any_more(standin: StandIn, fab: str) -> None:
    standin.put(RUNS)
    followed(standin, "2", ago=31)  # run 3 never was followed
    looked = run(standin, "submitted", fab=fab, abandoned_after=30, check=True)
    assert (looked["stopped"], looked["run_id"]) == (["2", "3"], "")
    assert standin.state["runs"] == RUNS["runs"]
    result = run(standin, "submitted", fab=fab, abandoned_after=30)
    assert (result["stopped"], result["run_id"]) == (["2", "3"], "101")


def test_flower_is_asked_for_what_was_left_only_where_something_may_be(standin: StandIn, fab: str) -> None:
    standin.put(RUNS)
    ended = standin.home / "runs" / "1"
    ended.mkdir(parents=True)
    (ended / "status.json").touch()
    assert run(standin, "submitted", fab=fab, abandoned_after=30)["stopped"] == []
    assert standin.calls()[0] == "run"
    (standin.home / "runs" / ".submitting").touch()  # a playbook was killed while it did
    os.utime(standin.home / "runs" / "101" / "followed", (0, 0))
    assert run(standin, "submitted", fab=fab, abandoned_after=30)["stopped"] == ["2", "3", "101"]


NODES = {"nodes": {"11": {"status": "online"}, "12": {"status": "online"}}}
RECORD = '{"a": {"node_id": "11"}, "b": {"node_id": "12"}}'
CAME = 1767225600  # when the stand-in's nodes came online


@pytest.fixture
def pair(standin: StandIn) -> StandIn:
    """A fleet of two that are online."""
    standin.put(NODES)
    (standin.home / "nodes.json").write_text(RECORD)
    return standin


def test_submits_where_all_devices_are_online(pair: StandIn, fab: str) -> None:
    result = run(pair, "submitted", fab=fab, devices=["a", "b"])
    assert (result["missing"], result["run_id"]) == ([], "101")
    assert pair.calls()[:2] == ["supernode list", "run"]
    assert len(set((pair.flwr_home / "pids").read_text().split())) == 1


def missing(standin: StandIn, fab: str, **more: Any) -> tuple[list[str], str]:
    """Return the devices that are missing, for which nothing is submitted, and why nothing is known of them."""
    result = run(standin, "submitted", fab=fab, devices=["a", "b"], **more)
    assert (result["changed"], result["run_id"]) == (False, "")
    assert "run" not in standin.calls()
    return result["missing"], result["reason"]


def test_submits_nothing_where_one_is_missing(pair: StandIn, fab: str) -> None:
    pair.put({"nodes": {**NODES["nodes"], "12": {"status": "offline"}}})
    assert missing(pair, fab) == (["b"], "")


def test_nodes_without_names_are_counted(pair: StandIn, fab: str) -> None:
    pair.put({"nodes": {"21": {"status": "online"}}})
    assert missing(pair, fab, secure=False) == (["b"], "")


def test_a_device_that_came_online_before_its_supernode_started_is_missing_still(pair: StandIn, fab: str) -> None:
    assert missing(pair, fab, started={"a": CAME - 1, "b": CAME + 60}) == (["b"], "")


def test_a_device_whose_clock_is_ahead_is_not_missing(pair: StandIn, fab: str) -> None:
    started = {"a": CAME + 5, "b": CAME - 300}
    assert run(pair, "submitted", fab=fab, devices=["a", "b"], started=started)["run_id"] == "101"


def test_says_that_no_superlink_answers(pair: StandIn, fab: str) -> None:
    pair.take_down()
    assert missing(pair, fab) == (["a", "b"], "Connection to the SuperLink is unavailable.")


def test_a_server_without_a_record_of_nodes_is_one_where_all_are_missing(pair: StandIn, fab: str) -> None:
    (pair.home / "nodes.json").unlink()
    assert missing(pair, fab) == (["a", "b"], "")


def test_without_flwr_the_task_fails(standin: StandIn) -> None:
    shutil.rmtree(standin.venv)
    assert run(standin, "stopped")["failed"]
