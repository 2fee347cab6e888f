"""Pack an app as one file, to hand it to the server, where `flwr run` takes it.

`flwr build` would do, but it refuses folders whose name has an underscore, which `flwr run` takes. An app of which
no file changed is packed once: importing what packs it takes longer than the rest.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

from fleet import private

BUILT = "built.json"  # by app: the state of its files, and the bundle that was made of them


def kept(app: Path, folder: Path) -> str | None:
    """Return the name of the bundle that is in `folder` already, where no file of the app has changed since."""
    found = _built(folder).get(str(app.resolve()), {})
    name = str(found.get("bundle"))
    return name if found.get("state") == state(app) and (folder / name).is_file() else None


def state(app: Path) -> str:
    """Return what changes with any file of the app, and with the version of Flower that packs it."""
    told = hashlib.sha256(metadata.version("flwr").encode())
    for where, folders, files in os.walk(app):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            path = os.path.join(where, name)
            of = os.lstat(path)
            told.update(
                f"{path}\0{of.st_size} {of.st_mtime_ns} {of.st_ctime_ns} {of.st_ino}\0".encode(errors="replace")
            )
    return told.hexdigest()


def _built(folder: Path) -> dict[str, dict[str, str]]:
    try:
        content: dict[str, dict[str, str]] = json.loads((folder / BUILT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def bundle(app: Path, folder: Path) -> str:
    """Write what Flower would pack of `app` into `folder`, under a name with its hash, and return that name.

    Raises ValueError or click.ClickException where Flower refuses the app, and ImportError or SyntaxError where it
    looks for an app's component and does not find it.
    """
    from flwr.cli.build import build_fab_from_disk, get_fab_filename
    from flwr.cli.config_utils import load_and_validate

    seen = state(app)  # before it is packed: what changes meanwhile is packed again
    config, _ = load_and_validate(app / "pyproject.toml")
    content = build_fab_from_disk(app)
    name: str = get_fab_filename(config, hashlib.sha256(content).hexdigest())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = folder / f"{name}.new"
    beside.write_bytes(_without_filters(content))
    os.replace(beside, folder / name)
    built = {**_built(folder), str(app.resolve()): {"state": seen, "bundle": name}}
    private.write(folder / BUILT, json.dumps(built, indent=2))
    return name


def _without_filters(content: bytes) -> bytes:
    """Return the bundle without `fab-include` and `fab-exclude`.

    The server packs it again, and Flower refuses a pattern that matches no file: those files are left out
    already.
    """
    import tomli_w

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


def main(app: Path, folder: Path) -> None:
    """Print the name of the app's bundle; ends with one line where Flower refuses the app."""
    if name := kept(app, folder):
        print(name)
        return
    import click

    try:
        print(bundle(app, folder))
    except (ValueError, ImportError, SyntaxError, OSError, click.ClickException) as error:
        text = error.message if isinstance(error, click.ClickException) else str(error)
        sys.exit(" ".join(text.split()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
