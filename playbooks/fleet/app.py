"""A Flower app as the playbooks see it: its pyproject.toml, and the two hooks that it may offer.

An app that `flwr run` takes needs nothing more. One that names hooks under `[tool.flowerbed]` gets more for
it: `settings`, a module that prints the schema of the app's settings as JSON, and `prepare`, a module that makes
the data parts on the controller before a run. Both run in a process of their own with the app's folder on
PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from fleet.settings import Setting, SettingError, Value, from_schema

_TYPES = {bool: "bool", int: "int", float: "float", str: "str"}


@dataclass(frozen=True)
class App:
    """What an app's pyproject.toml says, and where it lies."""

    folder: Path
    name: str
    version: str
    config: dict[str, Value]
    dependencies: tuple[str, ...]
    hooks: dict[str, str]
    extras: dict[str, tuple[str, ...]]
    instead: dict[str, tuple[str, ...]]

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The app's settings: from its hook, else one for each key of its run configuration, typed by its default.

        Raises SettingError where the hook fails or prints no list of settings.
        """
        if "settings" in self.hooks:
            try:
                return from_schema(json.loads(self.run_hook("settings")))
            except (json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
                raise SettingError(
                    f"app={self.folder}: {self.hooks['settings']} prints no JSON list of settings ({error})"
                ) from None
        return tuple(
            Setting(key.replace("-", "_"), _TYPES[type(default)], default, "") for key, default in self.config.items()
        )

    def requirements(self, framework: str) -> tuple[str, ...]:
        """Return what is to be installed for `framework`; without one, or with the app's own, the dependencies.

        `[tool.flowerbed.instead]` names, by framework, the dependencies that the extra of that name replaces.
        """
        left_out = self.instead.get(framework)
        if left_out is None:
            return self.dependencies
        kept = (one for one in self.dependencies if Requirement(one).name not in left_out)
        return (*kept, *self.extras.get(framework, ()))

    def unwanted(self, framework: str) -> tuple[str, ...]:
        """Return the names of its other frameworks' packages, which are not to lie beside those of `framework`."""
        others = {name for names in self.instead.values() for name in names}
        others |= {Requirement(one).name for name in self.instead for one in self.extras.get(name, ())}
        return tuple(sorted(others - {Requirement(one).name for one in self.requirements(framework)}))

    def run_hook(self, hook: str, *arguments: str) -> str:
        """Run a hook in a process of its own and return what it printed.

        Raises SettingError with the hook's last line on stderr where it fails.
        """
        done = subprocess.run(
            [sys.executable, "-m", self.hooks[hook], *arguments],
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise SettingError(f"app={self.folder}: {lines[-1]}")
        return done.stdout


def load(folder: Path, origin: str) -> App:
    """Read the app in `folder`. Raises SettingError where `flwr run` would not take it."""

    def refuse(why: str) -> SettingError:
        return SettingError(f"app={folder} ({origin}) {why}; allowed: a folder with a Flower app that `flwr run` takes")

    path = folder / "pyproject.toml"
    if not path.is_file():
        raise refuse("has no pyproject.toml")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise refuse(f"has a pyproject.toml that cannot be read ({error})") from None
    tool, project = content.get("tool", {}), content.get("project", {})
    flower = tool.get("flwr", {}).get("app")
    if not isinstance(flower, dict) or "components" not in flower:
        raise refuse("has no [tool.flwr.app.components] in its pyproject.toml")
    if "name" not in project or "version" not in project:
        raise refuse("has no name and version in its pyproject.toml")
    own = tool.get("flowerbed", {})
    config = _flat(flower.get("config", {}))
    for key, value in config.items():
        if type(value) not in _TYPES:
            raise refuse(f"has a {type(value).__name__} as {key} in its run configuration")
    return App(
        folder=folder,
        name=project["name"],
        version=project["version"],
        config=config,
        dependencies=tuple(project.get("dependencies", [])),
        hooks={name: module for name, module in own.items() if name != "instead"},
        extras={name: tuple(found) for name, found in project.get("optional-dependencies", {}).items()},
        instead={name: tuple(found) for name, found in own.get("instead", {}).items()},
    )


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Value]:
    """Return nested tables as Flower does: `[a] b = 1` is `a.b`."""
    flat: dict[str, Value] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
