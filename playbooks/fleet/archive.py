"""Pack a Python package as one file that Python runs: a zip whose content depends on the package's alone."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path

START = "from {name}.__main__ import main\n\nmain()\n"


def pack(package: Path, target: Path, *beside: Path) -> None:
    """Write the modules of `package`, which has a `__main__` with a `main`, and those `beside` it as `target`."""
    files = {f"{package.name}/{path.relative_to(package)}": path.read_bytes() for path in package.rglob("*.py")}
    files |= {path.name: path.read_bytes() for path in beside}
    files["__main__.py"] = START.format(name=package.name).encode()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])  # of 1980
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole = target.with_name(f"{target.name}.{os.getpid()}")
    whole.write_bytes(content.getvalue())
    whole.replace(target)


if __name__ == "__main__":
    pack(*map(Path, sys.argv[1:]))
