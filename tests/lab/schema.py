"""Reading small YAML files with one clear refusal for each mistake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .errors import LabError


def read_yaml(path: Path) -> Any:
    """Return what the YAML file holds.

    Raises:
        LabError: the file is absent, unreadable or not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise LabError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from None


class Reader:
    """Takes checked values out of one mapping; `source` names it in every refusal."""

    def __init__(self, data: Any, source: str, allowed: Iterable[str]) -> None:
        names = sorted(allowed)
        if not isinstance(data, Mapping):
            raise LabError(f"{source}: a mapping with {', '.join(names)} is wanted, not {data!r}")
        for key in data:
            if key not in names:
                raise LabError(f"{source}: unknown setting {key!r}; allowed are {', '.join(names)}")
        self.data = data
        self.source = source

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string that is not empty; without a default it has to be there."""
        value = self.data.get(key, default)
        if not isinstance(value, str) or not value:
            raise LabError(f"{self.source}: {key} must be text, not {value!r}")
        return value

    def choice(self, key: str, allowed: Iterable[str], default: str | None = None) -> str:
        """Return a string that is one of `allowed`."""
        value = self.data.get(key, default)
        names = list(allowed)
        if value not in names:
            raise LabError(f"{self.source}: {key} must be one of {', '.join(names)}, not {value!r}")
        return str(value)

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return a number in [low, high]."""
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise LabError(f"{self.source}: {key} must be a number from {low:g} to {high:g}, not {value!r}")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return true or false, which it is where the key is absent."""
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            raise LabError(f"{self.source}: {key} must be true or false, not {value!r}")
        return value

    def mapping(self, key: str) -> dict[str, str]:
        """Return a mapping of text to text, empty where the key is absent."""
        value = self.data.get(key, {})
        texts = isinstance(value, Mapping) and all(isinstance(item, str) for item in (*value, *value.values()))
        if not texts:
            raise LabError(f"{self.source}: {key} must map text to text, not {value!r}")
        return dict(value)

    def sequence(self, key: str) -> list[Any]:
        """Return a list, empty where the key is absent."""
        value = self.data.get(key, [])
        if not isinstance(value, list):
            raise LabError(f"{self.source}: {key} must be a list, not {value!r}")
        return value
