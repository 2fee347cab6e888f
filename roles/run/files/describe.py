"""Print what a host is and what its virtual environment holds, as JSON. Runs in that environment, in a moment.

The arguments are the file of the service that provisioning leaves, and the folder of the device tree.
"""

import json
import platform
import sys
from importlib import metadata
from pathlib import Path


def version(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def board() -> str | None:
    """Return the board's name: of the device tree on a Pi or Jetson, of the firmware's tables on a PC."""
    for path in (f"{sys.argv[2]}/model", "/sys/class/dmi/id/product_name"):
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
        except OSError:
            continue
    return None


print(
    json.dumps(
        {
            "provisioned": Path(sys.argv[1]).exists(),
            "board": board(),
            "python": platform.python_version(),
            "flwr": version("flwr"),
            "torch": version("torch"),
        }
    )
)
