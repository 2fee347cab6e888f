"""The settings that users give, each defined once and checked once, before any host is touched.

Two tables make up all settings: `FLEET` below, for what the playbooks themselves use, and the app's own, which
it prints as JSON (see `fleet.app`). Both are lists of `Setting`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Value = int | float | str | bool


class SettingError(ValueError):
    """A user's mistake, told in one line: the value, where it came from and what is allowed."""


@dataclass(frozen=True)
class Setting:
    """One setting: its type, its default and what is allowed.

    `type` is one of `int`, `float`, `str`, `bool`; `min` and `max` bound numbers (`exclusive_min`: the minimum itself
    is not allowed); `choices` or `pattern` (a regular expression that the whole text must match) bound texts, and where
    both are given, one of them will do; `says` may put what is allowed into words. `per_host`: a host of the inventory
    may have its own value, as a variable of that name.
    """

    name: str
    type: str
    default: Value
    help: str
    min: float | None = None
    max: float | None = None
    exclusive_min: bool = False
    choices: tuple[str, ...] | None = None
    pattern: str | None = None
    says: str = ""
    per_host: bool = False

    @property
    def allowed(self) -> str:
        """What is allowed, in words for an error line and for the README's table."""
        if self.says:
            return self.says
        if self.choices is not None:
            return ", ".join(self.choices)
        if self.type == "bool":
            return "true, false"
        if self.type == "str":
            return f"text that matches {self.pattern}" if self.pattern else "text"
        noun = "a whole number" if self.type == "int" else "a number"
        low = None if self.min is None else f"{'above' if self.exclusive_min else 'from'} {self._bound(self.min)}"
        high = None if self.max is None else f"up to {self._bound(self.max)}"
        return " ".join(part for part in (noun, low, high) if part)

    def _bound(self, number: float) -> str:
        return str(int(number)) if number == int(number) else str(number)

    def check(self, given: object, origin: str) -> Value:
        """Return `given` as this setting's type.

        Raises SettingError where it is not allowed; `origin` says in it where the value came from. Values of
        `-e name=value` arrive as texts and are read as what they say.
        """
        if isinstance(given, bool) and self.choices is not None and {"on", "off"} <= set(self.choices):
            given = "on" if given else "off"  # what YAML makes of these words
        try:
            value: Value = _CONVERT[self.type](given)
        except (TypeError, ValueError, OverflowError):
            raise self._error(given, origin) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(given, origin)
        matches = self.pattern is not None and re.fullmatch(self.pattern, str(value)) is not None
        if self.choices is not None and value not in self.choices and not matches:
            raise self._error(given, origin, hint=_did_you_mean(str(value), self.choices))
        if isinstance(value, int | float) and not isinstance(value, bool):
            too_low = self.min is not None and (value < self.min or (self.exclusive_min and value == self.min))
            if too_low or (self.max is not None and value > self.max):
                raise self._error(given, origin)
        if self.pattern is not None and self.choices is None and not matches:
            raise self._error(given, origin)
        return value

    def _error(self, given: object, origin: str, hint: str = "") -> SettingError:
        told = " ".join(str(given).split())  # one line, whatever was given
        return SettingError(f"{self.name}={told} ({origin}) is not allowed{hint}; allowed: {self.allowed}")


def _to_int(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise TypeError
    return int(given)


def _to_float(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise TypeError
    return float(given)


def _to_str(given: object) -> str:
    if isinstance(given, Mapping | list | tuple) or given is None:
        raise TypeError
    return str(given)


def _to_bool(given: object) -> bool:
    if isinstance(given, bool):
        return given
    words = {
        "true": True,
        "yes": True,
        "on": True,
        "1": True,
        "false": False,
        "no": False,
        "off": False,
        "0": False,
    }
    return words[str(given).lower()] if str(given).lower() in words else _refuse()


def _refuse() -> bool:
    raise ValueError


_CONVERT: dict[str, Callable[[object], Value]] = {"int": _to_int, "float": _to_float, "str": _to_str, "bool": _to_bool}


def _did_you_mean(given: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(given, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


FLEET: tuple[Setting, ...] = (
    Setting("app", "str", "fl_app", "folder of the Flower app that runs: the one that ships, or your own"),
    Setting(
        "app_config",
        "str",
        "",
        "run configuration for your own app, as `flwr run --run-config` takes it: 'key=value …'",
    ),
    Setting(
        "resume",
        "str",
        "",
        "go on from the last round of an earlier run: `latest`, or that run's folder in results/",
    ),
    Setting(
        "attach",
        "str",
        "",
        "follow a run whose playbook was interrupted, and bring its results: `latest`, or the run's id",
    ),
    Setting("results_folder", "str", "results", "where on the controller each run leaves its folder"),
    Setting(
        "online_timeout",
        "int",
        120,
        "seconds that run_fl.yml waits for the devices to come online",
        min=1,
        max=86400,
    ),
    Setting("device", "str", "", "remove_device.yml: the devices to take out of the fleet, with commas between them"),
    Setting(
        "renew",
        "bool",
        False,
        "renew_certificates.yml: make the server's certificate anew now, not only in its last 30 days",
    ),
    Setting("services", "bool", False, "stop.yml: stop the SuperLink and the SuperNodes too, not only the run"),
    Setting(
        "fast_rounds",
        "str",
        "auto",
        "provision.yml: rounds without Flower's waits; auto keeps a warm process where a device has 1 GB or more, "
        "on always, off is stock Flower",
        choices=("auto", "on", "off"),
    ),
    Setting(
        "isolation",
        "str",
        "auto",
        "provision.yml: the app runs on a device as a user of its own, which cannot read the device's key (process), "
        "or as the SuperNode's (subprocess); `auto` is process where there is root and no container",
        choices=("auto", "process", "subprocess"),
        per_host=True,
    ),
    Setting(
        "insecure",
        "bool",
        False,
        "no TLS and no SuperNode authentication, for a closed test bench only; warns at each use",
    ),
    Setting("upgrade", "bool", False, "provision.yml: upgrade every package of the hosts' systems"),
    Setting(
        "allow_reboot",
        "bool",
        False,
        "provision.yml: reboot the hosts that need it, once, in the end; else they are named",
    ),
    Setting(
        "python_provider",
        "str",
        "auto",
        "a device's Python: the system's, or one that pyenv builds once for each kind of host; `auto` is the system's"
        " where it is 3.11 or later",
        choices=("auto", "system", "pyenv"),
        per_host=True,
    ),
    Setting(
        "swap",
        "str",
        "auto",
        "swap on a host's disk, in MB, in place of the system's own; `auto` fills memory up to 2 GB; 0 is none",
        pattern=r"auto|\d{1,6}",
        says="auto, or a whole number from 0",
        per_host=True,
    ),
    Setting(
        "swappiness",
        "int",
        10,
        "how readily a host with such swap uses it (vm.swappiness)",
        min=0,
        max=200,
        per_host=True,
    ),
    Setting(
        "governor",
        "str",
        "performance",
        "governor of a Raspberry Pi's CPU frequency; `keep` leaves it",
        choices=("performance", "schedutil", "ondemand", "conservative", "powersave", "keep"),
        per_host=True,
    ),
    Setting(
        "jetson_runtime",
        "str",
        "auto",
        "what a device trains in: a virtual environment, a container, or a virtual environment without the GPU; `auto` "
        "is by a Jetson's JetPack (7 venv, 6 container, older ones cpu), and venv elsewhere",
        choices=("auto", "venv", "container", "cpu"),
        per_host=True,
    ),
    Setting(
        "jetson_nearest",
        "bool",
        False,
        "treat a Jetson whose L4T release is not known as the nearest known one; else it is refused",
        per_host=True,
    ),
    Setting(
        "install_jetpack",
        "bool",
        False,
        "provision.yml: install nvidia-jetpack on a Jetson that lacks it; several GB",
        per_host=True,
    ),
    Setting("jtop", "bool", True, "provision.yml: jtop (jetson-stats) on a Jetson, as a service", per_host=True),
    Setting(
        "power_mode",
        "str",
        "keep",
        "run_fl.yml: a Jetson's power mode during a run, by its name or number (MAXN, 15W, 2); put back afterwards",
        per_host=True,
    ),
    Setting(
        "jetson_clocks",
        "bool",
        False,
        "run_fl.yml: hold a Jetson's clocks at their highest during a run; put back afterwards",
        per_host=True,
    ),
    Setting(
        "headless",
        "bool",
        False,
        "a Raspberry Pi or Jetson boots without its desktop (about 800 MB on a Jetson), and a Pi with little memory "
        "for its GPU; false puts back what this switched off",
        per_host=True,
    ),
)


def from_schema(schema: Iterable[Mapping[str, Any]]) -> tuple[Setting, ...]:
    """Return the settings that an app describes as JSON (see `fleet.app.settings`)."""
    return tuple(
        Setting(**{**entry, "choices": tuple(entry["choices"]) if entry.get("choices") is not None else None})
        for entry in schema
    )


def check_all(
    settings: Iterable[Setting], given: Mapping[str, tuple[object, str]]
) -> tuple[dict[str, Value], list[str]]:
    """Check every given value: a map of name to (value, where it came from).

    Returns the values of all settings, with defaults where none was given, and one line for each mistake.
    """
    values: dict[str, Value] = {}
    errors: list[str] = []
    for setting in settings:
        values[setting.name] = setting.default
        if setting.name in given:
            try:
                values[setting.name] = setting.check(*given[setting.name])
            except SettingError as error:
                errors.append(str(error))
    return values, errors


def unknown(name: str, origin: str, known: Iterable[str]) -> str:
    """Return the error line for a name that no table holds."""
    names = sorted(known)
    return f"{name} ({origin}) is no setting{_did_you_mean(name, names)}; allowed: {', '.join(names)}"
