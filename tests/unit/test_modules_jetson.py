"""The modules nvpmodel, jetson_clocks and jetson_facts, against what the vendor's commands are recorded to say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.driving import run_module

TABLE = yaml.safe_load((Path(__file__).parent / "nvpmodel.yml").read_text(encoding="utf-8"))
BOARDS = yaml.safe_load((Path(__file__).parent / "jetson_facts.yml").read_text(encoding="utf-8"))
SAYS = """#!{python}
import json, sys
from pathlib import Path
calls = Path("{calls}")
rest = json.loads(calls.read_text())
now = rest.pop(0)
calls.write_text(json.dumps(rest))
assert sys.argv[1:] == now["argv"], (sys.argv, now)
if "hears" in now:
    assert sys.stdin.readline().strip() == now["hears"]
sys.stdout.write(now.get("says", ""))
sys.stderr.write(now.get("complains", ""))
sys.exit(now.get("status", 0))
"""


def program(folder: Path, calls: list[dict[str, Any]]) -> Path:
    """A command that answers these calls, in their order."""
    path, rest = folder / "command", folder / "calls.json"
    rest.write_text(json.dumps(calls))
    path.write_text(SAYS.format(python=sys.executable, calls=rest))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["it"])
def test_nvpmodel(tmp_path: Path, case: dict[str, Any]) -> None:
    config = tmp_path / "nvpmodel.conf"
    if case["board"]:
        config.write_text(TABLE["boards"].get(case["board"], ""))
    command = program(tmp_path, case["calls"])
    given = {"config": str(config), "program": str(command)}
    if "mode" in case:
        given["mode"] = case["mode"]
    result = run_module("nvpmodel", given, check=case.get("check", False))
    wanted = json.loads(json.dumps(case["result"]).replace("PROGRAM", str(command)).replace("CONFIG", str(config)))
    assert {name: result.get(name) for name in wanted} == wanted
    assert json.loads((tmp_path / "calls.json").read_text()) == []


def test_nvpmodel_that_is_not_there(tmp_path: Path) -> None:
    config = tmp_path / "nvpmodel.conf"
    config.write_text(TABLE["boards"]["nano"])
    result = run_module("nvpmodel", {"config": str(config), "program": str(tmp_path / "none")})
    assert result["msg"] == f"{tmp_path}/none cannot be run: No such file or directory"


LOOSE = (
    "cpu0: Online=1 Governor=schedutil MinFreq=729600 MaxFreq=1510400 CurrentFreq=729600\nGPU MinFreq=306 MaxFreq=624\n"
)
HELD = LOOSE.replace("729600", "1510400").replace("306", "624")


def clocks(
    folder: Path, state: str, calls: list[dict[str, Any]], *, check: bool = False
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the module's result, and the calls that were left."""
    given = {"state": state, "store": str(folder / "store"), "program": str(program(folder, calls))}
    return run_module("jetson_clocks", given, check=check), json.loads((folder / "calls.json").read_text())


def test_clocks_are_stored_before_they_are_raised(tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = [
        {"argv": ["--show"], "says": LOOSE},
        {"argv": ["--store", str(tmp_path / "store")]},
        {"argv": []},
    ]
    result, left = clocks(tmp_path, "on", calls)
    assert (result["changed"], result["held"], left) == (True, False, [])
    assert result["diff"] == {"before": "clocks held: False\n", "after": "clocks held: True\n"}


def test_clocks_that_are_held_are_left(tmp_path: Path) -> None:
    result, left = clocks(tmp_path, "on", [{"argv": ["--show"], "says": HELD}])
    assert (result["changed"], left) == (False, [])


def test_clocks_are_put_back_from_the_store_which_is_then_gone(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("as they were")
    calls: list[dict[str, Any]] = [{"argv": ["--show"], "says": HELD}, {"argv": ["--restore", str(store)]}]
    assert clocks(tmp_path, "off", calls[:1], check=True)[0]["changed"]
    assert store.exists()
    result, left = clocks(tmp_path, "off", calls)
    assert (result["changed"], left, store.exists()) == (True, [], False)
    assert not clocks(tmp_path, "off", [{"argv": ["--show"], "says": HELD}])[0]["changed"]  # it was not us


def test_after_a_reboot_the_store_is_of_another_time(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("of before")
    result, left = clocks(tmp_path, "off", [{"argv": ["--show"], "says": LOOSE}])
    assert (result["changed"], left, store.exists()) == (True, [], False)


def test_clocks_that_cannot_be_asked_for(tmp_path: Path) -> None:
    result, _ = clocks(
        tmp_path, "on", [{"argv": ["--show"], "says": "Error: Run this script as a root user\n", "status": 1}]
    )
    assert result["msg"].endswith("--show failed: Error: Run this script as a root user")


@pytest.mark.parametrize("case", BOARDS["cases"], ids=lambda case: case["it"])
def test_jetson_facts(tmp_path: Path, case: dict[str, Any]) -> None:
    tree, release = tmp_path / "device-tree", tmp_path / "nv_tegra_release"
    if "model" in case:
        tree.mkdir()
        (tree / "model").write_text(case["model"] + "\0")
        (tree / "compatible").write_text("".join(entry + "\0" for entry in case["compatible"]))
    if "release" in case:
        release.write_text(BOARDS["releases"][case["release"]])
    asked = tmp_path / "dpkg-query"  # as on every Debian: status 1, because it does not know some of the names
    asked.write_text(f"#!/bin/sh\ncat <<'END'\n{case.get('dpkg', '')}END\nexit 1\n")
    asked.chmod(0o755)
    known = [32, 35, 36, 38, 39]
    given = {"device_tree": str(tree), "release_file": str(release), "program": str(asked), "known": known}
    result = run_module("jetson_facts", given, check=True)
    wanted = json.loads(json.dumps(case["result"]).replace("RELEASE", str(release)))
    assert {name: result.get(name) for name in wanted} == wanted
