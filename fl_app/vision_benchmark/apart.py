"""A measurement in a process of its own, and what its end says, however it came."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

OOM_KILLS = Path("/proc/vmstat")


def measure(
    command: Sequence[str], folder: Path, name: str, batch_size: int, heard: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Return a model's row: what was measured, or how it ended.

    ``heard`` is told each step; what it raises ends the measurement.
    """
    kills = _oom_kills()
    with (folder / "stderr").open("w+", encoding="utf-8") as stderr:
        child = subprocess.Popen(
            [*command, "measure", str(folder), name, str(batch_size)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
            # The kernel is to take this process first where memory ends, and never the board's services.
            preexec_fn=_offer_to_the_oom_killer,
        )
        try:
            said = _listen(child, heard)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        stderr.seek(0)
        last = " ".join(stderr.read().strip().splitlines()[-1:])
    if "result" in said:
        return {"status": "ok", **said["result"]}
    row: dict[str, Any] = {"batch_size": batch_size}
    if "error" in said:
        return {**row, "status": "out of memory" if said["memory"] else "failed", "reason": said["error"]}
    if child.returncode == -signal.SIGKILL:
        sure = "" if _oom_kills() > kills else " (by signal 9: most likely)"
        return {**row, "status": "out of memory", "reason": f"killed for memory{sure}"}
    why = "its instructions are not this CPU's" if child.returncode == -signal.SIGILL else last
    return {**row, "status": "failed", "reason": f"ended with status {child.returncode}: {why}"[:300]}


def _listen(child: "subprocess.Popen[str]", heard: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Return the last thing that a measurement says, empty where it ends without a word."""
    assert child.stdout
    for line in child.stdout:
        said: dict[str, Any] = json.loads(line)
        if "task" not in said:
            return said
        heard(said)
    return {}


def _oom_kills() -> int:
    try:
        lines = OOM_KILLS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _offer_to_the_oom_killer() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:  # macOS
        return
