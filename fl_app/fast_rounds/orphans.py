"""A message whose run ends while it arrives leaves nothing behind.

Stock makes a task for it first, and keeps the task where the SuperLink then says that the run has ended: a ClientApp is
started for it that waits for the rest of the message for ever, and the next run's ClientApps wait for that one.
"""

from __future__ import annotations

from typing import Any

from flwr.common.constant import Status, SubStatus
from flwr.supercore.object_store import ObjectStore
from flwr.supernode import start_client_internal as loop
from flwr.supernode.nodestate.in_memory_nodestate import InMemoryNodeState


def install() -> None:
    """Take back the task and the message of a run that has ended."""
    stock = loop._pull_and_store_message

    def pull_and_store_message(state: InMemoryNodeState, object_store: ObjectStore, *args: Any, **kwargs: Any) -> Any:
        tasks = {task.task_id for task in state.get_tasks(statuses=[Status.PENDING])}
        messages = set(state.msg_store)
        run_id = stock(state, object_store, *args, **kwargs)
        if run_id is None:
            for message_id in set(state.msg_store) - messages:
                state.delete_messages(message_ids=[message_id])
                object_store.delete(message_id)
            for task in state.get_tasks(statuses=[Status.PENDING]):
                if task.task_id not in tasks:
                    state.finish_task(task.task_id, sub_status=SubStatus.FAILED, details="its run has ended")
        return run_id

    vars(loop)["_pull_and_store_message"] = pull_and_store_message
