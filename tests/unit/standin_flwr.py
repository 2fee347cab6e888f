"""A stand-in for the command `flwr` 1.41, for tests of the modules that call it.

It keeps nodes and runs in $FLWR_HOME/state.json, and notes each call in $FLWR_HOME/calls and its process in pids. Like
the real one it fails with exit status 0 and says so in its JSON; one that cannot read its arguments ends with exit
status 2 and no JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

HOME = Path(os.environ["FLWR_HOME"])
STATE = HOME / "state.json"


def answer(**content: object) -> NoReturn:
    print(json.dumps({"success": True, **content}, indent=2))
    sys.exit(0)


def fail(message: str) -> NoReturn:
    text = f"Using SuperLink: fleet (127.0.0.1:8000)\n\n{message}"
    print(json.dumps({"success": False, "error-message": text}, indent=2))
    sys.exit(0)


def supernode(state: dict[str, Any], verb: str, words: list[str]) -> None:
    nodes: dict[str, Any] = state["nodes"]
    if verb == "list":
        shown = {"online-at": "2026-01-01 00:00:00Z"}
        answer(nodes=[{"node-id": number, **shown, "status": node["status"]} for number, node in nodes.items()])
    if verb == "register":
        key = Path(words[0]).read_text(encoding="utf-8").strip()
        if any(node["key"] == key and node["status"] != "unregistered" for node in nodes.values()):
            fail("Public key already in use")
        state["last"] += 1
        nodes[str(state["last"])] = {"key": key, "status": "registered", "name": words[words.index("--name") + 1]}
        save(state)
        answer(**{"node-id": state["last"]})  # a number here, as in flwr's own answer
    if verb == "unregister":
        if words[0] not in nodes:
            fail("Node ID not found")
        nodes[words[0]]["status"] = "unregistered"
        save(state)
        answer(**{"node-id": words[0]})


def runs(state: dict[str, Any], verb: str, words: list[str]) -> None:
    if verb == "ls":
        wanted = words[words.index("--run-id") + 1] if "--run-id" in words else None
        chosen = {number: run for number, run in state["runs"].items() if wanted in (None, number)}
        answer(
            runs=[{"run-id": n, "status": run["status"], "status-details": "N/A"} for n, run in chosen.items()],
        )
    if verb == "run":
        if not Path(words[0], "pyproject.toml").is_file():
            fail("Please specify a valid app")
        state["last"] += 1
        file = words[words.index("--run-config") + 1] if "--run-config" in words else os.devnull
        config = Path(file).read_text(encoding="utf-8")  # the real one takes `key=value …`, too
        state["runs"][str(state["last"])] = {"status": "running", "config": config, "app": words[0]}
        save(state)
        answer(**{"run-id": str(state["last"])})
    if verb == "log":
        print("INFO: the ServerApp's log")
        sys.exit(0)
    if verb == "stop":
        run = state["runs"].get(words[0])
        if run is None or run["status"].startswith("finished"):
            fail(f"Run ID {words[0]} is already finished")
        if run["status"] == "stuck":
            fail("Permission denied")
        if run["status"] == "ending":  # as one that nobody has heard of for a minute
            run["status"] = "finished:failed"
            save(state)
            fail(f"Run ID {words[0]} is already finished")
        run["status"] = "finished:stopped"
        save(state)
        answer(**{"run-id": words[0]})


def save(state: dict[str, Any]) -> None:
    STATE.with_suffix(".new").write_text(json.dumps(state), encoding="utf-8")
    os.replace(STATE.with_suffix(".new"), STATE)


def main() -> None:
    words = [word for word in sys.argv[1:] if word not in ("--format", "json", "--stream")]
    with (HOME / "calls").open("a", encoding="utf-8") as calls:
        calls.write(" ".join(words[:2] if words[0] == "supernode" else words[:1]) + "\n")
    with (HOME / "pids").open("a", encoding="utf-8") as pids:
        pids.write(f"{os.getpid()}\n")
    if (HOME / "down").exists():
        fail("Connection to the SuperLink is unavailable.")
    state = {"last": 100, "nodes": {}, "runs": {}}
    if STATE.exists():
        state = json.loads(STATE.read_text(encoding="utf-8"))
    if words[0] == "supernode":
        supernode(state, words[1], words[2:])
    else:
        runs(state, words[0], words[1:])
    print(f"Usage: flwr [OPTIONS] COMMAND\nNo such command '{' '.join(words)}'.", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
