"""The devices that answer. Flower's own grid offers a round each device that is online, one that hangs too."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from flwr.app import Message
from flwr.serverapp import Grid

from fl_app.passing import Passing

logger = logging.getLogger("flwr")


class Present(Passing):
    """Offers ``nodes`` and no others: who goes away while a strategy chooses is not waited for without an end."""

    def __init__(self, grid: Grid, nodes: list[int]) -> None:
        super().__init__(grid)
        self.nodes = nodes

    def get_node_ids(self) -> Iterable[int]:
        """Return ``nodes``."""
        return self.nodes


@dataclass(frozen=True)
class _Asked:
    message_id: str
    activated: str  # when the device had last come online then


class Answering(Passing):
    """Leaves out of `get_node_ids` each device that let the time for an answer run out, until it is back.

    It is back when its answer comes after all, which counts for nothing, or when it was started anew.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self._activated: dict[int, str] = {}
        self._silent: dict[int, _Asked] = {}

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the devices that are online and answer."""
        self._activated = {node.node_id: node.last_activated_at for node in self.grid.get_nodes()}
        if self._silent:
            late = self._late_answers()
            for node, asked in list(self._silent.items()):
                anew = self._activated.get(node, asked.activated) != asked.activated
                if anew or asked.message_id in late:
                    del self._silent[node]
                    logger.info("node %d is back: %s", node, "it was started anew" if anew else "it answered too late")
        return [node for node in self._activated if node not in self._silent]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages, return the replies that came within ``timeout`` seconds, and note who sent none."""
        sent = list(messages)
        replies = list(self.grid.send_and_receive(sent, timeout=timeout))
        answered = {reply.metadata.reply_to_message_id for reply in replies}
        for message in sent:
            node, message_id = message.metadata.dst_node_id, message.metadata.message_id
            if timeout is not None and message_id not in answered:
                self._silent[node] = _Asked(message_id, self._activated.get(node, ""))
                logger.warning("node %d did not answer within %g s; it is not asked until it is back", node, timeout)
        return replies

    def _late_answers(self) -> set[str]:
        """Return which messages were answered since; the answers are dropped."""
        replies = self.grid.pull_messages([asked.message_id for asked in self._silent.values()])
        return {reply.metadata.reply_to_message_id for reply in replies}
