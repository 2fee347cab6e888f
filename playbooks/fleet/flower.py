"""Flower's command line on the server: the shell command to run there, and what its JSON says."""

from __future__ import annotations

import json
import re
import shlex
from datetime import datetime
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class FlowerError(RuntimeError):
    """`flwr` reported a fault; the text is its last line."""


def command(venv: str, flwr_home: str, *arguments: str) -> str:
    """Return the shell command that runs `flwr` with the server's own connection and with JSON as output."""
    words = ["env", f"FLWR_HOME={flwr_home}", "FLWR_TELEMETRY_ENABLED=0", "FLWR_DISABLE_UPDATE_CHECK=1"]
    return shlex.join([*words, f"{venv}/bin/flwr", *arguments, "--format", "json"])


def parse(output: str) -> dict[str, Any]:
    """Return what `flwr … --format json` printed.

    flwr 1.41 ends with exit status 0 when it fails and says so in its JSON. Raises FlowerError for that, and for
    an output without JSON.
    """
    plain = _ANSI.sub("", output)
    start = plain.find("{")
    try:
        answer: dict[str, Any] = json.JSONDecoder().raw_decode(plain[start:])[0] if start >= 0 else {}
    except ValueError:
        answer = {}
    if answer.get("success"):
        return answer
    lines = str(answer.get("error-message") or plain).strip().splitlines() or ["flwr printed nothing"]
    raise FlowerError(lines[-1].strip())


def online(answer: dict[str, Any]) -> dict[str, float]:
    """Return the ids of the nodes that `flwr supernode list` says are online, each with the epoch since when."""
    return {
        str(node["node-id"]): datetime.fromisoformat(node["online-at"]).timestamp()
        for node in answer["nodes"]
        if node["status"] == "online"
    }
