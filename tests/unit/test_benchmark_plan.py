"""What a benchmark measures, and where it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleet.benchmark import SETTINGS, models
from fleet.benchmark.plan import RECORD, ROWS, begin, make, write_record
from fleet.settings import SettingError, check_all

DEFAULTS = {setting.name: setting.default for setting in SETTINGS}


def own(**given: Any) -> dict[str, Any]:
    return {**DEFAULTS, "models": "resnet18,timm/mobilenetv3_small_100", **given}


def test_the_defaults_are_allowed() -> None:
    assert check_all(SETTINGS, {name: (value, "here") for name, value in DEFAULTS.items()}) == (DEFAULTS, [])


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("batch_size", "0", "auto, or a whole number from 1"),
        ("batch_size", "large", "auto, or a whole number from 1"),
        ("measure", "train,test", "one or more of train, finetune and evaluate"),
        ("input_shape", "224", "1 or 3 channels, height and width"),
        ("input_shape", "2,8,8", "1 or 3 channels, height and width"),
        ("dataset", "mnist", "in_memory, in_fs"),
        ("steps", "0", "a whole number from 1"),
        ("models", "", "auto, all, or names"),
    ],
)
def test_a_value_that_is_not_allowed_is_told_with_what_is(name: str, value: str, allowed: str) -> None:
    _, (error,) = check_all(SETTINGS, {name: (value, "extra var")})
    assert error.startswith(f"{name}={value} (extra var) is not allowed; allowed: {allowed}")


def test_models_may_be_named_as_timm_the_app_or_the_published_table_do() -> None:
    assert models.choose("timm/resnet18, vit_tiny,resnet18") == ["resnet18", "vit_tiny_patch16_224"]
    auto, every = models.choose("auto"), models.choose("all")
    assert len(auto) == 16
    assert set(auto) < set(every)
    assert len(every) > 50
    assert not [name for name in every if "faster_vit" in name]


def test_a_model_that_cannot_be_had_is_told_with_the_reason() -> None:
    with pytest.raises(SettingError, match=r"faster_vit_0.*needs the package fastervit"):
        models.choose("faster_vit_0")
    with pytest.raises(SettingError, match=r"resnet1x .*is no model of timm \(did you mean resnet1.\?\)"):
        make(own(models="resnet1x"))
    with pytest.raises(SettingError, match=r"input_shape=3,2,2 .*models=vgg11"):
        make(own(models="vgg11", input_shape="3,2,2"))


def test_a_plan_holds_what_is_known_of_its_models() -> None:
    plan = make(own(measure="evaluate,train", batch_size="auto"))
    small = plan["models"][1]
    assert small["name"] == "mobilenetv3_small_100"
    assert small["head"] == ["conv_head", "classifier"]
    assert 2.5 < small["parameters"] < 2.6
    assert (plan["tasks"], plan["batch_size"]) == (["train", "evaluate"], 0)


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(SettingError, match="num_images=10 is not allowed with dataset=in_fs and num_classes=20"):
        make(own(dataset="in_fs", num_images=10, num_classes=20))
    with pytest.raises(SettingError, match="batch_size=2000 is not allowed; allowed: up to 1000"):
        make(own(batch_size="2000"))


def test_a_benchmark_that_was_cut_off_goes_on_and_one_that_ended_does_not(tmp_path: Path) -> None:
    hosts = {"pi": {"power_mode": "keep", "swap": "auto"}, "orin": {"power_mode": "MAXN"}}
    first = begin(own(), hosts, ["pi", "orin"], tmp_path)
    folder = Path(first["folder"])
    assert first["left"] == {host: ["resnet18", "mobilenetv3_small_100"] for host in hosts}
    (folder / ROWS / "pi.jsonl").write_text('{"model": "resnet18"}\n{"model": "mobi')
    (folder / ROWS / "orin.done").touch()  # it measured what fits
    again = begin(own(), hosts, ["pi", "orin"], tmp_path)
    assert (again["folder"], again["goes_on"]) == (first["folder"], 1)
    assert again["left"] == {"pi": ["mobilenetv3_small_100"], "orin": []}
    assert (tmp_path / "latest-benchmark").resolve() == folder

    for other in (own(steps=3), own(fresh=True)):
        assert begin(other, hosts, ["pi"], tmp_path, write=False)["goes_on"] == 0
    faster = {**hosts, "orin": {"power_mode": "15W"}}
    assert begin(own(), faster, ["pi", "orin"], tmp_path, write=False)["goes_on"] == 0
    write_record(folder, {"status": "finished", "plan": first["plan"], "power": {}})
    assert begin(own(), hosts, ["pi"], tmp_path, write=False)["goes_on"] == 0


def test_check_mode_leaves_nothing(tmp_path: Path) -> None:
    begin(own(), {}, ["pi"], tmp_path / "results", write=False)
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / RECORD).exists()
