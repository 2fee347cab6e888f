"""A fleet in this process: a Grid that hands the ServerApp's messages to the real ClientApp."""

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from fl_app import client_app, server_app
from fl_app.settings import Config, defaults

Fault = Callable[[int, Message], Message | Error | None]
Run = Callable[..., Path]
last: list[Path] = []  # the folders of the runs that the fixture `run` began


class Fleet(Grid):
    """Devices with node ids from 100 on; ``fault`` may answer for a device, change a message or, with None, lose it.

    It is asked again of a message that was lost: what it does not lose then is answered late.
    """

    def __init__(self, run_config: dict[str, Any], node_configs: list[dict[str, Any]], fault: Fault | None = None):
        self.run_config = run_config
        self.nodes = dict(zip(itertools.count(100), node_configs))
        self.fault = fault
        self.count = itertools.count()
        self.lost: dict[str, Message] = {}
        self.activated = dict.fromkeys(self.nodes, "once")

    def get_node_ids(self) -> Iterable[int]:
        return list(self.nodes)

    def get_nodes(self) -> Iterable[NodeInfo]:
        return [NodeInfo(node_id=node, last_activated_at=self.activated[node]) for node in self.get_node_ids()]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        replies = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = f"message {next(self.count)}"  # as Flower's own Grid does
            replies += self._answers(message)
        return replies[::-1]  # the first device need not be the first to answer

    def _answers(self, message: Message) -> list[Message]:
        node, message_id = message.metadata.dst_node_id, message.metadata.message_id
        answer = self.fault(node, message) if self.fault else message
        if answer is None:
            self.lost[message_id] = message
            return []
        if isinstance(answer, Error):
            reply = Message(answer, reply_to=message)
            reply.metadata.__dict__["_src_node_id"] = SUPERLINK_NODE_ID  # which answers for lost devices
            return [reply]
        answer.metadata.__dict__["_message_id"] = message_id
        context = Context(1, node, dict(self.nodes[node]), RecordDict(), dict(self.run_config))
        return [client_app.app(answer, context)]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [reply for message_id in message_ids for reply in self._answers(self.lost.pop(message_id))]

    # The strategies use none of these.
    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError


def config_of(**settings: Any) -> dict[str, Any]:
    """Return a whole run configuration, as Flower hands it to the apps."""
    config = defaults() | {name.replace("_", "-"): value for name, value in settings.items()}
    Config.of(config)
    return config


def set_task(run_id: int) -> None:
    """Set what Flower's processes set when they pull a task; messages cannot be made without it."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run_id, 1, 1


def serve(fleet: Fleet, run_id: int) -> None:
    """Run the real ServerApp over ``fleet``."""
    set_task(run_id)
    server_app.app(fleet, Context(run_id, 0, {}, RecordDict(), dict(fleet.run_config)))


def read_csv(path: Path) -> list[dict[str, str]]:
    import csv

    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def app_json(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "app.json").read_text())
    return content
