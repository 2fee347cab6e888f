"""fleet.settings: what each type takes, from YAML and as text from the command line."""

from __future__ import annotations

import pytest

from fleet.settings import FLEET, Setting, SettingError, check_all, from_schema, unknown

ROUNDS = Setting("rounds", "int", 3, "", min=1)
ALPHA = Setting("alpha", "float", 0.5, "", min=0, exclusive_min=True)
FRACTION = Setting("fraction", "float", 1.0, "", min=0, max=1)
MODEL = Setting("model", "str", "net", "", choices=("net", "lenet5", "resnet18"))
NAME = Setting("name", "str", "", "", pattern=r"[a-z]+")
TEXT = Setting("text", "str", "", "")
SWITCH = Setting("switch", "bool", False, "")


@pytest.mark.parametrize(
    ("setting", "given", "value"),
    [
        (ROUNDS, 3, 3),
        (ROUNDS, "3", 3),  # -e rounds=3
        (ROUNDS, " 3 ", 3),
        (ROUNDS, 1, 1),
        (ALPHA, 1, 1.0),
        (ALPHA, "1e-3", 0.001),
        (ALPHA, ".5", 0.5),
        (FRACTION, "0", 0.0),
        (FRACTION, 1.0, 1.0),
        (MODEL, "lenet5", "lenet5"),
        (NAME, "abc", "abc"),
        (TEXT, "", ""),
        (TEXT, 12, "12"),  # a folder that is called 12
        (SWITCH, True, True),
        (SWITCH, "yes", True),
        (SWITCH, "TRUE", True),
        (SWITCH, "0", False),
        (SWITCH, "off", False),
        (SWITCH, 1, True),
    ],
)
def test_takes(setting: Setting, given: object, value: object) -> None:
    checked = setting.check(given, "extra var")
    assert checked == value
    assert type(checked) is type(value)


@pytest.mark.parametrize(
    ("setting", "given"),
    [
        (ROUNDS, 0),
        (ROUNDS, "0"),
        (ROUNDS, "abc"),
        (ROUNDS, ""),
        (ROUNDS, "3.0"),
        (ROUNDS, 3.5),
        (ROUNDS, True),
        (ROUNDS, None),
        (ROUNDS, [3]),
        (ROUNDS, "9" * 5000),  # above what Python turns into a number
        (ALPHA, 0),
        (ALPHA, "nan"),
        (ALPHA, float("nan")),
        (ALPHA, "inf"),
        (ALPHA, "-inf"),
        (ALPHA, "1e999"),
        (ALPHA, 10**400),
        (ALPHA, False),
        (FRACTION, 1.01),
        (FRACTION, -0.01),
        (MODEL, "nope"),
        (MODEL, "Net"),
        (MODEL, None),
        (NAME, "abc1"),
        (NAME, ""),
        (NAME, "abc\n"),
        (TEXT, {"a": 1}),
        (TEXT, ["a"]),
        (SWITCH, "maybe"),
        (SWITCH, ""),
        (SWITCH, 2),
        (SWITCH, None),
    ],
)
def test_refuses_in_one_line(setting: Setting, given: object) -> None:
    with pytest.raises(SettingError) as caught:
        setting.check(given, "extra var")
    line = str(caught.value)
    assert line.startswith(f"{setting.name}=")
    assert "(extra var)" in line
    assert line.endswith(f"allowed: {setting.allowed}")
    assert "\n" not in line


def test_error_line_names_value_origin_and_what_is_allowed() -> None:
    with pytest.raises(SettingError) as caught:
        ROUNDS.check("abc", "inventory/group_vars/all.yml")
    assert str(caught.value) == (
        "rounds=abc (inventory/group_vars/all.yml) is not allowed; allowed: a whole number from 1"
    )


def test_suggests_a_near_choice() -> None:
    with pytest.raises(SettingError, match=r"did you mean resnet18\?"):
        MODEL.check("resnet81", "extra var")


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        (ROUNDS, "a whole number from 1"),
        (ALPHA, "a number above 0"),
        (FRACTION, "a number from 0 up to 1"),
        (Setting("any", "float", 0.0, ""), "a number"),
        (MODEL, "net, lenet5, resnet18"),
        (NAME, "text that matches [a-z]+"),
        (TEXT, "text"),
        (SWITCH, "true, false"),
    ],
)
def test_says_what_is_allowed(setting: Setting, allowed: str) -> None:
    assert setting.allowed == allowed


def test_check_all_returns_defaults_values_and_every_mistake() -> None:
    given: dict[str, tuple[object, str]] = {
        "rounds": ("7", "extra var"),
        "alpha": ("no", "extra var"),
        "model": ("x", "all.yml"),
    }
    values, errors = check_all((ROUNDS, ALPHA, MODEL, SWITCH), given)
    assert values["rounds"] == 7
    assert values["switch"] is False
    assert [line.split(" ")[0] for line in errors] == ["alpha=no", "model=x"]


def test_unknown_names_the_nearest_setting() -> None:
    line = unknown("round", "extra var", ["rounds", "model"])
    assert line == "round (extra var) is no setting (did you mean rounds?); allowed: model, rounds"
    assert "did you mean" not in unknown("zzzzzz", "extra var", ["rounds"])


def test_reads_an_apps_schema() -> None:
    (setting,) = from_schema(
        [
            {
                "name": "model",
                "type": "str",
                "default": "net",
                "help": "which",
                "min": None,
                "max": None,
                "exclusive_min": False,
                "choices": ["net", "vgg"],
                "pattern": None,
            }
        ]
    )
    assert setting.choices == ("net", "vgg")
    assert setting.check("vgg", "extra var") == "vgg"


def test_every_setting_of_the_playbooks_allows_its_default() -> None:
    for setting in FLEET:
        assert setting.check(setting.default, "default") == setting.default
        assert setting.help


def test_a_text_may_match_a_pattern_beside_the_choices() -> None:
    setting = Setting("model", "str", "net", "", choices=("net",), pattern=r"timm/\w+", says="net, or timm/NAME")
    assert (setting.check("net", "x"), setting.check("timm/vit", "x")) == ("net", "timm/vit")
    with pytest.raises(SettingError, match=r"model=timm/ \(x\) is not allowed; allowed: net, or timm/NAME"):
        setting.check("timm/", "x")
