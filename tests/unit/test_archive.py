"""A package packed as one file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fleet.archive import pack


def test_the_file_runs_and_depends_on_the_content_alone(tmp_path: Path) -> None:
    package = tmp_path / "greeter"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__pycache__/old.pyc").write_bytes(b"old")
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import sys\n\nimport mark\nfrom greeter.words import hello\n\n"
        "def main():\n    print(hello, sys.argv[1] + mark.MARK)\n"
    )
    (package / "words.py").write_text("hello = 'hello'\n")
    mark = tmp_path / "mark.py"
    mark.write_text("MARK = '!'\n")
    target = tmp_path / "new" / "greeter.pyz"
    pack(package, target, mark)
    done = subprocess.run([sys.executable, target, "you"], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == "hello you!\n"
    before = target.read_bytes()
    os.utime(package / "words.py", (0, 0))
    pack(package, target, mark)
    assert target.read_bytes() == before
    (package / "words.py").write_text("hello = 'hallo'\n")
    pack(package, target, mark)
    assert target.read_bytes() != before
    assert os.listdir(target.parent) == ["greeter.pyz"]
