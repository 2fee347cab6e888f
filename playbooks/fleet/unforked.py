"""A part of a strategy: what asks nothing of a host is done in the process that Ansible is.

Ansible forks for each task of each host, also to find that it is skipped, to include a file or to set a fact; for a
fleet these are most of its forks, and a fork takes longer than they do. Here Ansible's own TaskExecutor does them
without one. The seam is that of the pinned ansible-core: `StrategyBase._queue_task` and `WorkerProcess._run`.
"""

from __future__ import annotations

import gc
import os
from typing import Any

from ansible._internal._task import TaskContext
from ansible.executor.task_executor import TaskExecutor
from ansible.executor.task_result import _RawTaskResult
from ansible.plugins.loader import get_plugin_loader_namespace

BUILTIN = (
    "add_host",
    "assert",
    "debug",
    "fail",
    "group_by",
    "include_role",
    "include_tasks",
    "set_fact",
    "validate_argument_spec",
)
# All of them end at once, and look at nothing but variables.
ASKS_NO_HOST = {f"ansible.builtin.{name}" for name in BUILTIN} | {"refuse", "same_facts", "tell"}


# A fork ends with its task: it need not look for garbage in all that it has from Ansible.
os.register_at_fork(after_in_child=gc.freeze)


class AsksItsHostError(BaseException):
    """The task is not skipped; no Exception, which TaskExecutor would take for the task's failure."""


class Unforked:
    """To be mixed into a strategy before Ansible's own."""

    def _queue_task(self: Any, host: Any, task: Any, task_vars: dict[str, Any], play_context: Any) -> None:
        try:
            self._do_here(host, task, task_vars, play_context)
        except AsksItsHostError:
            super()._queue_task(host, task, task_vars, play_context)  # type: ignore[misc]

    def _do_here(self: Any, host: Any, task: Any, task_vars: dict[str, Any], play_context: Any) -> None:
        """Do the task, or find that it is skipped; raise AsksItsHostError where it is neither, with nothing done."""
        asks = task.action not in ASKS_NO_HOST
        if (asks and not task.when) or task.loop is not None or task.until or task.delegate_to or task.timeout:
            raise AsksItsHostError
        # As TaskExecutor does it for each item of a loop: what is templated for one host is not to stay for the next.
        own = task.copy(exclude_parent=True, exclude_tasks=True)
        own._parent = task._parent
        if asks:
            own.post_validate = _asks  # the first thing that comes after `when`
        with TaskContext(own):
            made = TaskExecutor(
                host,
                own,
                task_vars.copy(),
                play_context,
                self._loader,
                get_plugin_loader_namespace(),
                self._final_q,
                self._variable_manager,
            ).run()
        self._queued_task_cache[host.name, task._uuid] = {
            "host": host,
            "task": task,
            "task_vars": task_vars,
            "play_context": play_context,
        }
        self._tqm.send_callback("v2_runner_on_start", host, task)
        self._pending_results += 1
        result = _RawTaskResult(host=host, task=own, return_data=made, task_fields=own.dump_attrs())
        self._final_q.send_task_result(result)


def _asks(*_: Any, **__: Any) -> None:
    raise AsksItsHostError
