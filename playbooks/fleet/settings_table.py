"""The README's table of settings, made from the tables that check them.

`python -m fleet.settings_table` prints it; `python -m fleet.settings_table README.md` puts it between the file's marks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from fleet import app, benchmark
from fleet.settings import FLEET, Setting

BEGIN, END = "<!-- settings: python -m fleet.settings_table README.md -->", "<!-- /settings -->"


def table(settings: Iterable[Setting]) -> str:
    """Return the settings as a Markdown table."""
    lines = ["| setting | default | what it is | allowed |", "|---|---|---|---|"]
    for setting in settings:
        default = f"`{str(setting.default).lower() if setting.type == 'bool' else setting.default}`"
        allowed = setting.allowed.replace("|", "\\|")
        lines.append(f"| `{setting.name}` | {default if default != '``' else ''} | {setting.help} | {allowed} |")
    return "\n".join(lines)


def section(project: Path) -> str:
    """Return the README's part: the shipped app's settings, the playbooks' own, the benchmark's."""
    own = table(app.load(project / "fl_app", "default").settings)
    parts = [own, "Of the playbooks themselves, for any app:", table(FLEET)]
    parts += ["Of `benchmark.yml`, on the command line (`-e`) alone:", table(benchmark.SETTINGS)]
    return "\n\n".join(parts)


def replace(text: str, content: str) -> str:
    """Return `text` with `content` between the marks. Raises ValueError where it has none."""
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:begin]}\n{content}\n{text[end:]}"


if __name__ == "__main__":
    made = section(Path(__file__).resolve().parents[2])
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(replace(path.read_text(encoding="utf-8"), made), encoding="utf-8")
    if not sys.argv[1:]:
        print(made)
