"""Print what a host is and what its virtual environment holds, as JSON. Runs in that environment, in a moment.

The arguments are the file of the service that provisioning leaves, the folder of the device tree, and the file that
says what a container's image holds, where the device trains in one.
"""

import json
import platform
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

PACKAGES = ("python", "flwr", "torch", "tensorflow")


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


def started(service_file: Path) -> float | None:
    """Return when the service's process started, in seconds since the epoch; None where it does not run."""
    name = service_file.stem
    if service_file.suffix == ".service":
        ask = ["systemctl", "show", "--property=MainPID", "--value", name]
    else:
        config = service_file.parents[1] / "supervisord.conf"
        ask = [f"{sys.prefix}/bin/supervisorctl", "-c", str(config), "pid", name]
    process = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    if not process.isdecimal() or process == "0":
        return None
    # ps is the one way that Linux and macOS share: [[days-]hours:]minutes:seconds
    told = subprocess.run(["ps", "-o", "etime=", "-p", process], capture_output=True, text=True, check=False).stdout
    days, _, clock = told.strip().rpartition("-")
    age = 0
    for part in clock.split(":"):
        age = 60 * age + int(part or 0)
    return time.time() - age - 86400 * int(days or 0)


def framework(service: Path) -> str | None:
    """Return what the host was provisioned to train with, where the app has a choice."""
    found = re.search(r"FLEET_FRAMEWORK=\W*(\w+)", service.read_text(encoding="utf-8")) if service.exists() else None
    return found[1] if found else None


def packages() -> dict[str, str | None]:
    """Return in what the device trains, with its versions and the GPU of the batch that was tried at provisioning."""
    try:
        image = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
    except OSError:
        here = {"python": platform.python_version(), "flwr": version("flwr"), "torch": version("torch")}
        here["tensorflow"] = version("tensorflow") or version("tensorflow-cpu")
        return {"runtime": "venv", **here, "gpu": tried().get("gpu")}
    return {"runtime": "container", **{name: image.get(name) for name in (*PACKAGES, "gpu")}}


def tried() -> dict[str, str]:
    """Return what the last batch said that was tried in this environment; on the controller there is none."""
    proofs = sorted(Path(sys.prefix).glob("runs-*.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(proofs[-1].read_text(encoding="utf-8")) if proofs else {}


def isolation(service_file: Path) -> str | None:
    """Return whether a device's apps run as a user of their own, in Flower's words."""
    if service_file.stem != "supernode":
        return None
    return "process" if service_file.with_name("clientapps.service").exists() else "subprocess"


service = Path(sys.argv[1])
since = started(service) if service.exists() else None
print(
    json.dumps(
        {
            "provisioned": service.exists(),
            "isolation": isolation(service),
            "service_started": since or time.time(),
            "service_age": since and time.time() - since,
            "framework": framework(service),
            "board": board(),
            **packages(),
        }
    )
)
