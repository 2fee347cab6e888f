"""Print what a host is and what its virtual environment holds, as JSON. Runs in that environment, in a moment.

The argument is JSON, too: `device_tree`, a folder; `image`, the file that says what a container's image holds, where
the device trains in one; `units`, systemd's folder, or null for a fleet without root; `services`, for each name that
the host has in the fleet its service and that one's folder.

Printed are `facts`, named and counted as Ansible's setup module does, and for each name one of `hosts`.
"""

import configparser
import json
import os
import platform
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

PACKAGES = ("python", "flwr", "torch", "tensorflow")


def facts() -> dict[str, str | int]:
    """Return what a run needs of Ansible's facts: memory and swap in MB (2^20 bytes)."""
    try:
        table = dict(re.findall(r"(?m)^(\w+):\s+(\d+) kB$", Path("/proc/meminfo").read_text(encoding="ascii")))
        memory, swap = int(table["MemTotal"]) // 1024, int(table["SwapTotal"]) // 1024
    except OSError:  # macOS, which makes swap as it needs it
        memory, swap = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20, 0
    return {
        "architecture": platform.machine(),
        "processor_nproc": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memtotal_mb": memory,
        "swaptotal_mb": swap,
        "service_mgr": "systemd" if has_systemd() else "another",
    }


def has_systemd() -> bool:
    """Return whether systemd is the init system: sd_booted(3)."""
    return Path("/run/systemd/system").is_dir()


def service_file(service: str, home: str) -> Path:
    """Return the file that provisioning leaves for a service."""
    if QUESTION["units"] and has_systemd():
        return Path(QUESTION["units"], f"{service}.service")
    return Path(home, "supervisor/programs", f"{service}.conf")


def version(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def board() -> str | None:
    """Return the board's name: of the device tree on a Pi or Jetson, of the firmware's tables on a PC."""
    for path in (f"{QUESTION['device_tree']}/model", "/sys/class/dmi/id/product_name"):
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
        except OSError:
            continue
    return None


def age(service: Path) -> float | None:
    """Return for how many seconds the service's process has been running; None where it does not run."""
    return age_by_systemd(service.stem) if service.suffix == ".service" else age_by_supervisor(service)


def age_by_systemd(name: str) -> float | None:
    """Ask systemd for the process, and ps for its age: [[days-]hours:]minutes:seconds."""
    process = told("systemctl", "show", "--property=MainPID", "--value", name)
    if not process.isdecimal() or process == "0":
        return None
    days, _, clock = told("ps", "-o", "etime=", "-p", process).rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part or 0)
    return float(seconds + 86400 * int(days or 0))


def age_by_supervisor(program: Path) -> float | None:
    """Ask the supervisord of a service, without the start of its command for each of this machine's services."""
    import xmlrpc.client

    from supervisor.xmlrpc import SupervisorTransport

    config = configparser.RawConfigParser()
    config.read(program.parents[1] / "supervisord.conf")
    socket = config.get("unix_http_server", "file", fallback="")
    transport = SupervisorTransport(serverurl=f"unix://{socket}")
    try:
        info = xmlrpc.client.ServerProxy("http://localhost", transport).supervisor.getProcessInfo(program.stem)
    except (OSError, xmlrpc.client.Error):  # no supervisord is there, or it does not know the program
        return None
    finally:
        transport.close()
    return float(info["now"] - info["start"]) if info["pid"] else None


def told(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def framework(service: Path) -> str | None:
    """Return what the host was provisioned to train with, where the app has a choice."""
    found = re.search(r"FLEET_FRAMEWORK=\W*(\w+)", service.read_text(encoding="utf-8")) if service.exists() else None
    return found[1] if found else None


def packages() -> dict[str, str | None]:
    """Return in what the device trains, with its versions and the GPU of the batch that was tried at provisioning."""
    try:
        image = json.loads(Path(QUESTION["image"]).read_text(encoding="utf-8"))
    except OSError:
        here = {"python": platform.python_version(), "flwr": version("flwr"), "torch": version("torch")}
        here["tensorflow"] = version("tensorflow") or version("tensorflow-cpu")
        return {"runtime": "venv", **here, "gpu": tried().get("gpu")}
    return {"runtime": "container", **{name: image.get(name) for name in (*PACKAGES, "gpu")}}


def tried() -> dict[str, str]:
    """Return what the last batch said that was tried in this environment; on the controller there is none."""
    proofs = sorted(Path(sys.prefix).glob("runs-*.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(proofs[-1].read_text(encoding="utf-8")) if proofs else {}


def isolation(service: Path) -> str | None:
    """Return whether a device's apps run as a user of their own, in Flower's words."""
    if service.stem != "supernode":
        return None
    return "process" if service.with_name("clientapps.service").exists() else "subprocess"


def host(service: Path, everywhere: dict[str, str | None]) -> dict[str, object]:
    """Return what is to be known of the host by one of its names."""
    since = age(service) if service.exists() else None
    return {
        "provisioned": service.exists(),
        "isolation": isolation(service),
        "service_started": time.time() - (since or 0),
        "service_age": since,
        "framework": framework(service),
        **everywhere,
    }


QUESTION = json.loads(sys.argv[1])
same = {"board": board(), **packages()}
hosts = {name: host(service_file(*where), same) for name, where in QUESTION["services"].items()}
print(json.dumps({"facts": facts(), "hosts": hosts}))
