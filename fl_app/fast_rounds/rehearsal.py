"""What every ClientApp's process does around its app is done some times ahead, in the process that it is forked from.

Python has it specialised then (PEP 659), and no fork does so again, in copies of the pages that it writes to. It is
flwr's own code, with a connection that answers itself: nothing leaves the process, no thread is started, no app is
loaded, and torch does nothing.
"""

from __future__ import annotations

import io
import zipfile
from importlib import import_module

import httpcore
import httpx
import numpy as np
from flwr.app import ArrayRecord, Context, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.serde import context_to_proto, message_to_proto, run_to_proto
from flwr.proto.fab_pb2 import Fab
from flwr.proto.runtime_pb2 import PullAppMessagesResponse, PullTaskInputResponse
from flwr.supercore.inflatable import inflatable_utils
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor, RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.cli.flwr_clientapp import _parse_args_run_flwr_clientapp

from fast_rounds import objects, parcel_client, parcels, unpacked
from fast_rounds.clientapp_client import ClientAppClient

TIMES = 10  # Python specialises what has run a few times
ARGUMENTS = ["--runtime-api-address", "127.0.0.1:9", "--insecure", "--token", "none", "--parent-pid", "1"]
PROJECT = '[project]\nname = "none"\nversion = "1.0.0"\n[tool.flwr.app]\npublisher = "none"\n'


class _Itself(httpx.HTTPTransport):
    """Sends requests to nobody: a connection that gives these answers, one after the other."""

    def __init__(self, answers: list[bytes]) -> None:
        super().__init__(verify=False, trust_env=False)
        self._pool = httpcore.ConnectionPool(network_backend=httpcore.MockBackend(answers))


def rehearse(times: int = TIMES) -> None:
    """Fetch a task, and answer it."""
    run_clientapp = import_module("flwr.supernode.runtime.run_clientapp")  # the package hides it by its function
    stock = inflatable_utils.pull_objects
    objects.install(inflatable_utils)
    answers = [_answer(_task().SerializeToString()), _answer(b"")]
    try:
        for _ in range(times):
            given = _parse_args_run_flwr_clientapp().parse_args(ARGUMENTS)
            client = ClientAppClient.from_server_address(
                given.runtime_api_address,
                insecure=given.insecure,
                root_certificates=None,
                interceptors=[
                    RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"),
                    RuntimeTokenHttpInterceptor(given.token),
                ],
                retry_invoker=make_simple_http_retry_invoker(),
            )
            client._client._transport = _Itself(answers)
            message, context, _, fab = run_clientapp.pull_task_input(client)
            unpacked.folder(fab.content)
            reply = Message(message.content, reply_to=message)
            with parcel_client.sending_objects([reply]):
                run_clientapp.push_message(client, reply, context)
            run_clientapp.push_task_output(client, context, "completed", "")
            client.close()
    finally:
        inflatable_utils.pull_objects = stock  # a ServerApp's fork looks whether it is
        for name in ("_task_id", "_run_id", "_node_id"):
            setattr(TaskIdentity, name, None)  # as in a process without a task


def _task() -> PullTaskInputResponse:
    """Return what a SuperNode of fast_rounds gives a ClientApp."""
    content = RecordDict({"arrays": ArrayRecord([np.zeros(100, np.float32)]), "metrics": MetricRecord({"loss": 0.5})})
    metadata = Metadata(
        run_id=1,
        message_id="",
        src_node_id=1,
        dst_node_id=1,
        message_type="train",
        group_id="1",
        ttl=3600.0,
        reply_to_message_id="",
        created_at=0.0,
    )
    message = make_message(metadata, content)
    tree = get_object_tree(message)
    parts = {object_id: part.deflate() for object_id, part in get_all_nested_objects(message).items()}
    came = PullAppMessagesResponse(
        messages_list=[message_to_proto(remove_content_from_message(message))], message_object_trees=[tree]
    )
    parcels.attach(came, parts.items(), takes=parcels.LIMIT, confirmed=[tree.object_id])
    context = Context(run_id=1, node_id=1, node_config={"partition-id": 0}, state=RecordDict(), run_config={"lr": 0.1})
    task = PullTaskInputResponse(
        context=context_to_proto(context), run=run_to_proto(Run.create_empty(1)), fab=_bundle(), task_id=1
    )
    parcels.attach(task, enclosed=came)
    return task


def _bundle() -> Fab:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as files:
        files.writestr("pyproject.toml", PROJECT)
    return Fab(hash_str="", content=content.getvalue())


def _answer(content: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {PROTOBUF_MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content
