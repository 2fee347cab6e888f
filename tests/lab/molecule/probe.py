"""Started as an app is, by what starts apps: try what an app is not to do, and leave as JSON what came of it.

Arguments: the file to leave, the SuperNode's process id and port.
"""

import ctypes
import grp
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

HOME = Path("/var/lib/flowerbed")
PTRACE_ATTACH = 16
supernode = int(sys.argv[2])
runtime = f"http://127.0.0.1:{sys.argv[3]}/v1/runtime"


def outcome(attempt: Callable[[], object]) -> str:
    """Return how it went: the error's name, or what was had."""
    try:
        return str(attempt())
    except OSError as error:
        return type(error).__name__


def ask(route: str) -> int:
    """Ask the SuperNode without the secret or a token; return the status."""
    request = urllib.request.Request(f"{runtime}/{route}", b"", {"Content-Type": "application/protobuf"})
    try:
        return int(urllib.request.urlopen(request, timeout=20).status)
    except urllib.error.HTTPError as error:
        return error.code


def attach() -> str:
    """Try to trace the SuperNode's process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, supernode, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
    return "attached"


def order() -> str:
    """Try to give orders oneself."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as orders:
        orders.connect("/run/clientapps.sock")
    return "connected"


def write(path: str) -> str:
    """Try to leave a file."""
    Path(path).write_text("x", encoding="utf-8")
    return "written"


said = {
    "user": str(os.getuid()),
    "groups": " ".join(sorted(grp.getgrgid(number).gr_name for number in os.getgroups())),
    "key": outcome((HOME / "keys/supernode").read_bytes),
    "folder": outcome(lambda: os.listdir(HOME)),
    "secret": outcome(Path("/run/supernode/secret").read_bytes),
    "memory": outcome(Path(f"/proc/{supernode}/mem").read_bytes),
    "signal": outcome(lambda: os.kill(supernode, 0)),
    "trace": outcome(attach),
    "orders": outcome(order),
    "its starter's memory": outcome(Path(f"/proc/{os.getppid()}/mem").read_bytes),
    "a task": outcome(lambda: ask("acquire-task")),
    "a task's input": outcome(lambda: ask("pull-task-input")),
    "program": outcome(lambda: write("/var/lib/flowerbed-app/fast_rounds.pyz")),
    "data": outcome(lambda: write("/var/lib/flowerbed-app/data/x")),
    "system": outcome(lambda: write("/usr/local/bin/x")),
    "home": outcome(lambda: write(str(Path.home() / "x"))),
    "tmp": outcome(lambda: write("/tmp/x")),
    "packages": outcome(lambda: __import__("flwr").__name__),
}
Path(sys.argv[1]).write_text(json.dumps(said), encoding="utf-8")
