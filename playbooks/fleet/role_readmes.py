"""Each role's README, made from its argument specs and defaults.

`python -m fleet.role_readmes` writes them; a test compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

NOTE = "<!-- Made by `python -m fleet.role_readmes` from meta/argument_specs.yml and defaults/main.yml. -->"


def readme(role: Path) -> str:
    """Return the README of a role: what each of its entry points does, and its variables."""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    defaults = _load(role / "defaults/main.yml")
    parts = [f"# {role.name}", NOTE]
    for entry, spec in specs.items():
        title = role.name if entry == "main" else f"{role.name}, `tasks_from: {entry}`"
        parts.append(f"## {title}\n\n{spec['short_description']}.")
        options = spec.get("options", {})
        if options:
            lines = ["| variable | default | what it is |", "|---|---|---|"]
            lines += [_line(name, option, defaults) for name, option in options.items()]
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _line(name: str, option: dict[str, Any], defaults: dict[str, Any]) -> str:
    shown = "required" if option.get("required") else f"`{_plain(defaults[name])}`" if name in defaults else ""
    choices = f" One of {', '.join(option['choices'])}." if "choices" in option else ""
    return f"| `{name}` | {shown} | {' '.join(option['description'].split())}{choices} |"


def _plain(value: Any) -> str:
    """Return a default on one line, safe in a table."""
    if isinstance(value, str):
        return " ".join(value.split()).replace("|", "\\|") or "''"
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip().replace("|", "\\|")


def _load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.is_file() else {}


if __name__ == "__main__":
    for folder in sorted((Path(__file__).resolve().parents[2] / "roles").iterdir()):
        (folder / "README.md").write_text(readme(folder), encoding="utf-8")
