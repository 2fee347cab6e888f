"""Have a device measure its models, and show each as it is done."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from fleet.benchmark import progress
from fleet.terminal import warn

DOCUMENTATION = """
module: follow_benchmark
short_description: Have a device measure its models and show each as it is done
description:
  - Starts the runner of O(folder), which goes on without a connection, and reads its rows until it is done. Each row is
    kept in O(dest) at once, so that a device that dies keeps what it had.
  - A runner that is gone (the device was rebooted) is started again; it goes on where its rows end.
options:
  folder: {description: 'Folder of the plan, on the host.', type: path, required: true}
  command: {description: Shell command that runs the measuring package., type: str, required: true}
  dest: {description: 'File on the controller for the rows; beside it, C(.done) says that they are all.',
         type: path, required: true}
  models: {description: How many models there are for this host., type: int, required: true}
  patience: {description: Seconds that a host may be out of reach., type: int, default: 120}
attributes:
  check_mode: {support: full, details: does nothing}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Measure
  follow_benchmark:
    folder: /var/lib/flowerbed/benchmark/now
    command: /opt/flowerbed/venv/bin/python /var/lib/flowerbed/vision_benchmark.pyz
    dest: results/now/rows/pi4.jsonl
    models: 16
"""
RETURN = """
complete: {description: Whether all models have been seen to., type: bool, returned: success}
rows: {description: How many rows came., type: int, returned: success}
reason: {description: Why it is not complete., type: str, returned: success}
"""
ARGUMENTS = {
    "folder": {"type": "path", "required": True},
    "command": {"type": "str", "required": True},
    "dest": {"type": "path", "required": True},
    "models": {"type": "int", "required": True},
    "patience": {"type": "int", "default": 120},
}
PAUSE = 1.0
HEARTBEAT = 60.0  # seconds without a line after which one says where the device is
STARTS = 4  # how often a runner is started before it counts as lost
# The runner holds its lock as long as it lives; macOS has no flock(1).
LOOK = """{{
touch -c followed; test -e done && echo done; test -e stopped && echo stopped
if ! test -e runner.lock; then echo gone
elif command -v flock >/dev/null; then flock --nonblock runner.lock true && echo gone
else kill -0 "$(cat runner.lock)" 2>/dev/null || echo gone
fi
echo '{cut}'; cat progress.json 2>/dev/null; echo; echo '{cut}'
tail -n +{next} rows.jsonl 2>/dev/null; echo '{cut}'; tail -n 1 runner.log 2>/dev/null; }}"""
CUT = "--8<-- flowerbed --8<--"


class ActionModule(ActionBase):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        if self._task.check_mode:
            return {"changed": False, "complete": True, "rows": 0, "reason": ""}
        host = str((task_vars or {}).get("inventory_hostname", "the host"))
        return {"changed": True, **self._follow(host, arguments)}

    def _follow(self, host: str, arguments: dict[str, Any]) -> dict[str, Any]:
        dest = Path(arguments["dest"])
        shown = sum(1 for _ in dest.open(encoding="utf-8")) if dest.exists() else 0
        read = starts = 0
        answered = said = time.monotonic()
        playbook = os.getppid()  # a worker outlives a playbook that is killed, and would seem to follow for ever
        while os.getppid() == playbook:
            state = self._read(arguments, read)
            if state is None:
                if time.monotonic() - answered > arguments["patience"]:
                    return _end(False, shown, f"{host} does not answer any more; its rows are kept")
                time.sleep(PAUSE)
                continue
            answered = time.monotonic()
            for row in state["rows"]:
                read += 1
                shown += self._keep(dest, row)
                Display().display(progress.row_line(host, shown, arguments["models"], row, state["progress"]))
                said = time.monotonic()
            if state["done"]:
                dest.parent.mkdir(parents=True, exist_ok=True)
                dest.with_suffix(".done").touch()
                if shown < arguments["models"]:
                    Display().display(progress.fitting_line(host, shown, arguments["models"]))
                return _end(True, shown, "")
            if state["stopped"] and not state["alive"] and starts:
                return _end(False, shown, f"{host} was stopped")
            if not state["alive"]:
                if starts == STARTS:
                    return _end(False, shown, f"{host}: what measures ended: {state['log'] or 'it left no word'}")
                starts += 1
                begun = self._low_level_execute_command(
                    f"{arguments['command']} start {shlex.quote(arguments['folder'])}"
                )
                if begun["rc"] != 0:
                    last = str(begun["stderr"] or begun["stdout"]).strip().splitlines()[-1:]
                    return _end(False, shown, f"{host}: the measurement cannot be started: {' '.join(last)}")
            elif state["progress"] and time.monotonic() - said > HEARTBEAT:
                Display().display(progress.heartbeat(host, state["progress"]))
                said = time.monotonic()
            time.sleep(PAUSE)
        return _end(False, shown, "the playbook was ended")

    def _keep(self, dest: Path, row: dict[str, Any]) -> int:
        """Append a row to the file here, if it is not there yet; return how many were appended."""
        dest.parent.mkdir(parents=True, exist_ok=True)
        there = dest.read_text(encoding="utf-8").splitlines() if dest.exists() else []
        if any(json.loads(line)["model"] == row["model"] for line in there):
            return 0
        with dest.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return 1

    def _read(self, arguments: dict[str, Any], read: int) -> dict[str, Any] | None:
        """Return what the runner has left: new whole rows, where it is, whether it is done or at least there.

        Touches `followed` as well: a benchmark that nobody follows ends itself after a while. None where the host does
        not answer.
        """
        command = f"cd {shlex.quote(arguments['folder'])} && {LOOK.format(cut=CUT, next=read + 1)}"
        try:
            output = str(self._low_level_execute_command(command)["stdout"])
        except AnsibleConnectionFailure as error:
            self._display.vv(f"no answer: {error}")
            return None
        if output.count(CUT) < 3:
            return None
        state, where, rows, log = output.split(CUT)
        try:
            found = [json.loads(line) for line in rows.splitlines() if line.strip()]
        except ValueError:  # a row is being written
            found = []
        return {
            "done": "done" in state,
            "stopped": "stopped" in state,
            "alive": "gone" not in state,
            "progress": json.loads(where) if where.strip() else {},
            "rows": found,
            "log": " ".join(log.split()),
        }


def _end(complete: bool, rows: int, reason: str) -> dict[str, Any]:
    if reason:
        warn(reason)
    return {"complete": complete, "rows": rows, "reason": reason}
