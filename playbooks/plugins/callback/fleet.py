"""Ansible's default output, but a user's mistake is told in one line each, without the task's inside."""

from __future__ import annotations

import gc
import io
import sys
from pathlib import Path

from ansible import constants as C  # noqa: N812 (Ansible's own name for it)
from ansible import context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default

from fleet.inventory import read_group_vars
from fleet.settings import SettingError

DOCUMENTATION = """
name: fleet
type: stdout
short_description: Ansible's default output with plain lines for a user's mistakes
description:
  - Where a task fails with RV(user_errors), prints these lines and nothing else. Includes are named with C(-v)
    only. What is waited for is named once. In a pipe or a file, too, each line is there at once.
  - All other output is C(default)'s.
extends_documentation_fragment: [default_callback, result_format_callback]
"""

# Python looks through all objects again whenever enough came, and most of Ansible's stay: a seventh of a playbook's
# time. Set here because no code of the project's comes earlier.
gc.set_threshold(100_000, 50, 100)


class CallbackModule(Default):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "fleet"

    def __init__(self) -> None:
        super().__init__()
        # Ansible flushes at its end alone: rounds would come all at once.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)

    def v2_playbook_on_start(self, playbook):  # type: ignore[no-untyped-def]
        super().v2_playbook_on_start(playbook)
        # Ansible reads these files before the first task, and ends without a word of which one it cannot read.
        for source in context.CLIARGS.get("inventory") or ():
            try:
                list(read_group_vars(Path(source)))
            except SettingError as error:
                self._error(str(error))

    def _error(self, line: str) -> None:
        self._display.display(f"ERROR: {line}", color=C.COLOR_ERROR, stderr=True)

    def v2_runner_on_failed(self, result, ignore_errors=False):  # type: ignore[no-untyped-def]
        lines = result.result.get("user_errors")
        if lines is None or ignore_errors:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        for line in lines:
            self._error(line)

    def v2_runner_on_ok(self, result):  # type: ignore[no-untyped-def]
        # An include is no work of its own; its banner would stand above nothing.
        if self._display.verbosity or not isinstance(result.task, TaskInclude):
            super().v2_runner_on_ok(result)

    def v2_playbook_on_no_hosts_matched(self):  # type: ignore[no-untyped-def]
        # A play for boards on a fleet without any is none that went wrong.
        if self._display.verbosity:
            super().v2_playbook_on_no_hosts_matched()

    def v2_runner_retry(self, result):  # type: ignore[no-untyped-def]
        # Waiting is no failure, and said once.
        if self._display.verbosity:
            super().v2_runner_retry(result)
        elif result.result["attempts"] == 1:
            self._display.display(f"{result.host.get_name()}: {result.task.get_name()} …")

    def v2_playbook_on_include(self, included_file):  # type: ignore[no-untyped-def]
        if self._display.verbosity:
            super().v2_playbook_on_include(included_file)
