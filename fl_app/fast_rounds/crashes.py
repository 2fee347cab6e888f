"""A ClientApp that ended without an answer is answered for at once, with how it ended.

Stock waits for the heartbeats to run out, up to 60 s; and without an end where the message was not fetched yet.
"""

from __future__ import annotations

from flwr.app import Error
from flwr.common.constant import ErrorCode, SubStatus
from flwr.supercore.constant import TaskType
from flwr.supernode.nodestate.in_memory_nodestate import InMemoryNodeState


def install() -> None:
    """Answer the messages of a ClientApp that failed, where it has not done so itself."""
    stock = InMemoryNodeState.finish_task

    def finish_task(self: InMemoryNodeState, task_id: int, sub_status: str, details: str) -> bool:
        finished: bool = stock(self, task_id, sub_status, details)
        if finished and sub_status == SubStatus.FAILED:
            tasks = self.get_tasks(task_ids=[task_id])
            if tasks and tasks[0].type == TaskType.CLIENT_APP:
                self._store_error_replies({tasks[0].run_id}, Error(ErrorCode.CLIENT_APP_CRASHED, details))
        return finished

    InMemoryNodeState.finish_task = finish_task  # type: ignore[method-assign]
