"""fleet.app: what a Flower app says of itself, and its hooks."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fleet import app
from fleet.settings import SettingError
from unit.driving import APP, ROOT, write_app

HOOKS = '[tool.flowerbed]\nsettings = "hooks.settings"\n'
SCHEMA = [{"name": "lr", "type": "float", "default": 0.1, "help": "learning rate", "min": 0, "exclusive_min": True}]


def test_reads_an_app(tmp_path: Path) -> None:
    loaded = app.load(write_app(tmp_path), "extra var")
    assert (loaded.name, loaded.version, loaded.dependencies) == ("mine", "1.0.0", ("numpy",))
    assert loaded.config == {"num-server-rounds": 3, "lr": 0.1, "shuffle": True, "label": "a"}
    assert loaded.hooks == {}


CHOICE = """
[project.optional-dependencies]
tensorflow = ["keras>=3", "tensorflow; platform_machine != 'x86_64'"]
prepare = ["pandas"]
[tool.flowerbed.instead]
tensorflow = ["numpy"]
"""


def test_an_app_may_have_a_choice_of_frameworks(tmp_path: Path) -> None:
    loaded = app.load(write_app(tmp_path, APP + CHOICE), "extra var")
    assert loaded.hooks == {}
    assert loaded.requirements("torch") == ("numpy",)
    assert loaded.unwanted("torch") == ("keras", "tensorflow")
    assert loaded.requirements("tensorflow") == ("keras>=3", "tensorflow; platform_machine != 'x86_64'")
    assert loaded.unwanted("tensorflow") == ("numpy",)


def test_an_app_without_a_choice_has_its_dependencies_and_leaves_others_alone(tmp_path: Path) -> None:
    loaded = app.load(write_app(tmp_path), "extra var")
    assert (loaded.requirements(""), loaded.unwanted("")) == (("numpy",), ())


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_tensorflow_needs_is_pinned_for_every_platform(machine: str) -> None:
    host = {"sys_platform": "linux", "platform_machine": machine}
    asked = map(Requirement, app.load(ROOT / "fl_app", "default").extras["tensorflow"])
    wanted = {one.name for one in asked if one.marker is None or one.marker.evaluate(host)}
    lines = [(ROOT / f"files/constraints/{name}.txt").read_text().splitlines() for name in ("fleet", machine)]
    assert wanted <= {line.partition("==")[0] for line in chain(*lines)}
    assert len(wanted) == 2


def test_settings_follow_from_the_defaults_without_a_hook(tmp_path: Path) -> None:
    settings = app.load(write_app(tmp_path), "extra var").settings
    assert {setting.name: setting.type for setting in settings} == {
        "num_server_rounds": "int",
        "lr": "float",
        "shuffle": "bool",
        "label": "str",
    }


def test_nested_tables_are_flat_keys_as_in_flower(tmp_path: Path) -> None:
    loaded = app.load(write_app(tmp_path, APP + "[tool.flwr.app.config.train]\nepochs = 2\n"), "extra var")
    assert loaded.config["train.epochs"] == 2


@pytest.mark.parametrize(
    ("project", "why"),
    [
        ("", "has no [tool.flwr.app.components]"),
        ("[tool.flwr.app]\npublisher = 'me'\n", "has no [tool.flwr.app.components]"),
        ("[project\n", "cannot be read"),
        ("[tool.flwr.app.components]\nserverapp = 'a:b'\n", "has no name and version"),
        (APP + "layers = [1, 2]\n", "has a list as layers in its run configuration"),
        (APP + "day = 2026-01-01\n", "has a date as day in its run configuration"),
    ],
)
def test_refuses_what_flower_would_not_take(tmp_path: Path, project: str, why: str) -> None:
    with pytest.raises(SettingError) as caught:
        app.load(write_app(tmp_path, project), "extra var")
    line = str(caught.value)
    assert line.startswith(f"app={tmp_path} (extra var) ")
    assert why in line
    assert "\n" not in line


def test_refuses_a_folder_without_an_app(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"has no pyproject\.toml"):
        app.load(tmp_path / "nowhere", "extra var")


def test_the_settings_hook_tells_the_schema(tmp_path: Path) -> None:
    folder = write_app(tmp_path, APP + HOOKS, hooks__settings=f"print({json.dumps(SCHEMA)!r})")
    (setting,) = app.load(folder, "extra var").settings
    assert (setting.name, setting.min, setting.exclusive_min) == ("lr", 0, True)


def test_a_hook_runs_in_the_apps_folder_with_its_modules_and_arguments(tmp_path: Path) -> None:
    code = "import os, sys, hooks\nprint(os.getcwd(), *sys.argv[1:])"
    folder = write_app(tmp_path, APP + HOOKS, hooks__settings=code)
    assert app.load(folder, "extra var").run_hook("settings", "a b").split("\n")[0] == f"{folder} a b"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "import sys\nprint('beside', file=sys.stderr)\nsys.exit('the data set is not there')",
            "the data set is not there",
        ),
        ("raise SystemExit(3)", "exit status 3"),
        ("raise ValueError('wrong')", "ValueError: wrong"),
        ("print('no json')", "prints no JSON list of settings"),
        ("print('{\"a\": 1}')", "prints no JSON list of settings"),
        ('print(\'[{"name": "a", "kind": 1}]\')', "prints no JSON list of settings"),
        ("", "prints no JSON list of settings"),
    ],
)
def test_a_hook_that_fails_is_told_in_one_line(tmp_path: Path, code: str, why: str) -> None:
    folder = write_app(tmp_path, APP + HOOKS, hooks__settings=code)
    with pytest.raises(SettingError) as caught:
        _ = app.load(folder, "extra var").settings
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_app_that_ships_offers_both_hooks() -> None:
    shipped = app.load(ROOT / "fl_app", "default")
    assert set(shipped.hooks) == {"settings", "prepare"}
    names = {setting.name.replace("_", "-") for setting in shipped.settings}
    assert names <= set(shipped.config)
