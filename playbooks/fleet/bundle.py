"""Pack an app as one file, to hand it to the server, where `flwr run` takes it.

`flwr build` would do, but it refuses folders whose name has an underscore, which `flwr run` takes.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tomllib
import zipfile
from pathlib import Path

import click
import tomli_w
from flwr.cli.build import build_fab_from_disk, get_fab_filename
from flwr.cli.config_utils import load_and_validate


def bundle(app: Path, folder: Path) -> str:
    """Write what Flower would pack of `app` into `folder`, under a name with its hash, and return that name.

    Raises ValueError or click.ClickException where Flower refuses the app, and ImportError or SyntaxError where it
    looks for an app's component and does not find it.
    """
    config, _ = load_and_validate(app / "pyproject.toml")
    content = build_fab_from_disk(app)
    name: str = get_fab_filename(config, hashlib.sha256(content).hexdigest())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = folder / f"{name}.new"
    beside.write_bytes(_without_filters(content))
    os.replace(beside, folder / name)
    return name


def _without_filters(content: bytes) -> bytes:
    """Return the bundle without `fab-include` and `fab-exclude`.

    The server packs it again, and Flower refuses a pattern that matches no file: those files are left out
    already.
    """
    result = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            data = old.read(member)
            if member.filename == "pyproject.toml":
                project = tomllib.loads(data.decode())
                for key in ("fab-include", "fab-exclude"):
                    project["tool"]["flwr"]["app"].pop(key, None)
                data = tomli_w.dumps(project).encode()
            if not member.filename.startswith(".info/"):
                new.writestr(zipfile.ZipInfo(member.filename, member.date_time), data)
    return result.getvalue()


if __name__ == "__main__":
    try:
        print(bundle(Path(sys.argv[1]), Path(sys.argv[2])))
    except (ValueError, ImportError, SyntaxError, OSError, click.ClickException) as error:
        text = error.message if isinstance(error, click.ClickException) else str(error)
        sys.exit(" ".join(text.split()))
