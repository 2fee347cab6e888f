"""A message that comes while its run ends: the real state of a SuperNode keeps nothing of it."""

from __future__ import annotations

from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run, RunNotRunningException
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode import start_client_internal as loop
from flwr.supernode.nodestate.in_memory_nodestate import InMemoryNodeState

from fast_rounds import orphans

RUN = 7


def ended(*_: object) -> None:
    raise RunNotRunningException


@pytest.mark.parametrize("fast", [True, False])
def test_nothing_stays_of_a_message_whose_run_has_ended(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr(loop, "_pull_and_store_message", loop._pull_and_store_message)
    if fast:
        orphans.install()
    store = ObjectStoreFactory().store()
    state = InMemoryNodeState(store)
    state.store_run(Run.create_empty(RUN))
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN, 1, 1
    message = Message(RecordDict({"config": ConfigRecord({"a": 1})}), dst_node_id=2, message_type="train")
    message.metadata.__dict__["_message_id"] = message.object_id
    objects = get_all_nested_objects(message)
    call: Any = loop._pull_and_store_message
    given: dict[str, Any] = {
        "state": state,
        "object_store": store,
        "node_config": {},
        "receive": lambda: (message, get_object_tree(message)),
        "get_run": ended,
        "get_fab": ended,
        "pull_object": lambda run_id, object_id: objects[object_id].deflate(),
        "confirm_message_received": ended,
        "trusted_entities": None,
    }
    assert call(**given) is None
    pending = state.get_tasks(statuses=["pending"])
    if fast:
        assert (pending, state.msg_store) == ([], {})
    else:  # stock keeps a task, for which a ClientApp is started that waits for ever: what this is for
        assert len(pending) == 1
