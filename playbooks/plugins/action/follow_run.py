"""Show a run's rounds as they end."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from fleet.rounds import format_round
from fleet.terminal import warn

DOCUMENTATION = """
module: follow_run
short_description: Follow a run to its end and show each round as it ends
description:
  - Reads the run's folder on the server until C(status.json) is there. An app that writes no C(rounds.csv) is followed
    by the lines of its log.
  - A server that is away is waited for. Where it comes back without what keeps the run's status there, that is said.
options:
  folder: {description: The run's folder on the server., type: path, required: true}
  rounds: {description: Number of the last round where the app has such a setting., type: int}
  shown: {description: Rounds that were shown before., type: int, default: 0}
attributes:
  check_mode: {support: full, details: does nothing}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Follow the run
  follow_run: {folder: /var/lib/flowerbed/runs/1234, rounds: 3}
"""
RETURN = """
status:
  description: finished:completed, finished:failed, finished:stopped, cut off, lost; unfollowed where nothing is told
  type: str
  returned: success
details: {description: What Flower says of it., type: str, returned: success}
shown: {description: Rounds that were shown., type: int, returned: success}
"""
ARGUMENTS = {
    "folder": {"type": "path", "required": True},
    "rounds": {"type": "int"},
    "shown": {"type": "int", "default": 0},
}
PAUSE = 0.5
CUT = "--8<-- flowerbed --8<--"


class ActionModule(ActionBase):  # type: ignore[misc]
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        if self._task.check_mode:
            return {"changed": False, "status": "finished:completed", "details": "", "shown": 0}
        shown, log_shown, away = arguments["shown"], 0, False
        playbook = os.getppid()  # a worker outlives a playbook that is killed, and would seem to follow for ever
        while os.getppid() == playbook:
            try:
                rounds, log, status, followed = self._read(arguments["folder"])
            except AnsibleConnectionFailure as error:  # the run goes on without it
                if not away:
                    warn(f"the server does not answer ({error}); the run goes on, trying again")
                away = True
                time.sleep(PAUSE)
                continue
            if away:
                Display().display("the server answers again")
            away = False
            for row in rounds[shown:]:
                Display().display(format_round(row, arguments["rounds"]), color="green")
            shown = max(shown, len(rounds))
            if arguments["rounds"] is None:
                for line in log[log_shown:]:
                    Display().display(line)
                log_shown = len(log)
            if status:
                run = status["runs"][0]
                details = "" if run["status-details"] == "N/A" else run["status-details"]
                return {"changed": True, "status": run["status"], "details": details, "shown": shown}
            if not followed:
                return {"changed": False, "status": "unfollowed", "details": "", "shown": shown}
            time.sleep(PAUSE)
        return {"failed": True, "msg": "the playbook was ended; the run goes on"}

    def _read(self, folder: str) -> tuple[list[dict[str, str]], list[str], dict[str, Any], bool]:
        """Read whole rows of rounds.csv, whole lines of the ServerApp's log, the final status, and if it will come.

        Touches `followed` as well: a run that nobody follows is one that an interrupted playbook left behind.
        """
        command = (
            f"cd {shlex.quote(folder)} && touch followed; cat rounds.csv 2>/dev/null; echo; echo '{CUT}';"
            f" cat serverapp.log 2>/dev/null; echo; echo '{CUT}';"
            # Asked first: the follower writes the status and ends.
            ' read -r number name <follower; follower=$(ps -ww -p "$number" -o args= | grep -c -- "${name:-unnamed}");'
            f' cat status.json 2>/dev/null; echo "{CUT}"; echo "$follower"'
        )
        output = str(self._low_level_execute_command(command)["stdout"])
        if output.count(CUT) < 3:
            return [], [], {}, True
        rounds, log, status, follower = output.split(CUT)
        return (
            list(csv.DictReader(io.StringIO(_whole_lines(rounds)))),
            _whole_lines(log.removeprefix("\n")).splitlines(),
            json.loads(status) if status.strip() else {},
            follower.strip() != "0",
        )


def _whole_lines(text: str) -> str:
    """A file's text without a last line that is still being written; `text` ends with the line end of `echo`."""
    content = text.removesuffix("\n")
    return content[: content.rfind("\n") + 1]
