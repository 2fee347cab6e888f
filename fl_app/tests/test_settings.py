import json
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from fl_app.errors import AppError
from fl_app.settings import PYPROJECT, SETTINGS, Config, defaults, schema

INTERNAL = {"partition", "classes", "resume-from", "continue-from"}


def test_every_default_has_a_setting_and_every_setting_a_default() -> None:
    assert {setting.key for setting in SETTINGS} | INTERNAL == set(defaults())


def test_the_fields_of_the_config_are_the_keys_of_the_run_configuration() -> None:
    assert {field.name.replace("_", "-") for field in fields(Config)} == set(defaults())


def test_the_types_of_the_config_are_those_of_the_defaults() -> None:
    config = Config.of({})
    for field in fields(Config):
        assert type(getattr(config, field.name)) is field.type, field.name


def test_the_schema_is_printed_without_torch_and_without_flower() -> None:
    code = (
        "import runpy, sys; runpy.run_module('fl_app.settings', run_name='__main__');"
        "sys.exit(bool({'torch', 'flwr', 'numpy', 'datasets'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PYPROJECT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(schema()))
    assert all(row["help"] for row in schema())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rounds": 0}, ["rounds=0", "int at least 1"]),
        ({"rounds": "abc"}, ["rounds='abc'", "int"]),
        ({"rounds": True}, ["rounds=True"]),
        ({"model": "nope"}, ["model='nope'", "net, lenet5, mnist_cnn, resnet8"]),
        ({"model": "timm/"}, ["model='timm/'", "timm/NAME"]),
        ({"dataset": "random"}, ["dataset='random'", "benchmark alone", "mnist5k"]),
        ({"min-train-devices": 2}, ["min_train_devices=2", "min_devices=1"]),
        ({"finetune": "head"}, ["finetune=head", "set weights"]),
        ({"algorithm": "FedNTD", "tau": 0.0}, ["tau=0.0", "above 0"]),
        ({"lr": 0.0}, ["lr=0.0", "above 0"]),
        ({"lr": float("nan")}, ["lr=nan"]),
        ({"fraction-train": 1.5}, ["fraction_train=1.5", "above 0 and at most 1"]),
        ({"strategy": "FedXgbBagging"}, ["FedXgbBagging", "not arrays", "FedAvg"]),
        ({"learning-rate": 0.1}, ["'learning-rate'", "no setting"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(AppError) as error:
        Config.of(given)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_model_of_timm_is_allowed_beside_the_choices() -> None:
    assert Config.of({"model": "timm/vit_tiny_patch16_224"}).model == "timm/vit_tiny_patch16_224"
    (row,) = (row for row in schema() if row["name"] == "model")
    assert "net, " in row["says"]
    assert "timm/NAME" in row["says"]


def test_a_whole_number_is_taken_for_a_fraction() -> None:
    assert Config.of({"lr": 1}).lr == 1.0
