"""An app that is unpacked already is not unpacked again for each message.

Stock unpacks it into a temporary folder each time, checks every file, and then finds that it is there.
"""

from __future__ import annotations

import hashlib
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path
from types import ModuleType

from flwr.common.config import get_metadata_from_config, get_project_dir


def install(module: ModuleType) -> None:
    """Let `module`, flwr's run_clientapp, ask for the app's folder first."""
    stock = vars(module)["install_from_fab"]

    def install_from_fab(fab_file: bytes, *, skip_prompt: bool) -> Path:
        found = folder(fab_file)
        return found if found and found.is_dir() else stock(fab_file, skip_prompt=skip_prompt)

    vars(module)["install_from_fab"] = install_from_fab


def folder(bundle: bytes) -> Path | None:
    """Return where stock unpacks a bundle to; None where it cannot be told, and stock says what is wrong with it."""
    try:
        with zipfile.ZipFile(BytesIO(bundle)) as files:
            config = tomllib.loads(files.read("pyproject.toml").decode())
        name, version = get_metadata_from_config(config)
        return get_project_dir(name, version, hashlib.sha256(bundle).hexdigest())
    except (KeyError, ValueError, AttributeError, TypeError, zipfile.BadZipFile):
        return None
