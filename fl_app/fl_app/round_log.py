"""What is known of one round, from the messages that went out and the replies that came, and its rows."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Message, Metadata

from fl_app import riding
from fl_app.arrays import count_bytes

PHASES = ("load", "train", "evaluate")
DEVICE_METRICS = (
    "train_loss", "train_accuracy", "train_seconds", "eval_loss", "eval_accuracy", "eval_rank1", "eval_mAP",
)  # fmt: skip
# Of a round, over its devices: means, weighted by their examples, of those that the devices tell.
MEANS = {
    "train": ("train_loss", "train_accuracy"),
    "evaluate": ("eval_loss", "eval_accuracy", "eval_rank1", "eval_mAP"),
}


@dataclass(frozen=True)
class Device:
    """Who a reply came from."""

    cid: int
    host: str

    @classmethod
    def of(cls, reply: Message) -> "Device":
        """Return the device that sent ``reply``, which carries no error."""
        record = reply.content.config_records["device"]
        return cls(int(str(record["cid"])), str(record["host"]))


@dataclass
class RoundLog:
    """The round ``number``; times are in seconds, sizes in bytes of arrays."""

    number: int
    started: float = field(default_factory=time.perf_counter)
    sampled: set[int] = field(default_factory=set)  # node ids, over both phases
    out: list[Metadata] = field(default_factory=list)  # of the messages that went out last
    trained: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    means: dict[str, float] = field(default_factory=dict)
    sent: int = 0
    received: int = 0
    rows: dict[Device, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[Device, dict[str, float]] = field(default_factory=dict)
    before: dict[Device, dict[str, float]] = field(default_factory=dict)  # of the model that the round began with

    def send(self, messages: Iterable[Message]) -> list[Message]:
        """Note the messages that go out, and return them."""
        sent = list(messages)
        self.out = [message.metadata for message in sent]
        self.sampled |= self.asked
        self.sent += _bytes(sent)
        return sent

    @property
    def asked(self) -> set[int]:
        """The nodes that the last messages went to."""
        return {metadata.dst_node_id for metadata in self.out}

    def receive(self, replies: Iterable[Message], phase: str) -> tuple[list[Message], dict[int, str]]:
        """Note the replies of ``phase`` (``train`` or ``evaluate``).

        Returns them, those with content first and by cid, so that sums come out the same whoever answered
        first; and for each node that failed the reason, in one line.
        """
        good: list[Message] = []
        errors: list[Message] = []
        for reply in replies:
            (errors if reply.has_error() else good).append(reply)
        good.sort(key=lambda reply: Device.of(reply).cid)
        # In the place of a device that went away the SuperLink answers, as a node of its own: what tells whom an
        # error is about is the message that it replies to. The Grid gives messages their ids as it sends them.
        nodes = {metadata.message_id: metadata.dst_node_id for metadata in self.out}
        errors.sort(key=lambda reply: nodes[reply.metadata.reply_to_message_id])
        answered = {reply.metadata.src_node_id for reply in good}
        reasons = dict.fromkeys(sorted(self.asked - answered), "no answer")
        for reply in errors:
            reason = " ".join((reply.error.reason or "no reason").split())
            reasons[nodes[reply.metadata.reply_to_message_id]] = reason
        self.failed |= reasons.keys()
        self.received += _bytes(good)
        for reply in good:
            self._note(Device.of(reply), metrics_of(reply), phase)
            if evaluated := riding.scores(reply):
                self.before[Device.of(reply)] = evaluated
                self.seconds[Device.of(reply)]["evaluate"] += evaluated["evaluate_seconds"]
        if phase == "train" and good:
            self.trained = answered
        self.means |= _means([metrics_of(reply) for reply in good], phase)
        return good + errors, reasons

    def _note(self, device: Device, metrics: Mapping[str, float], phase: str) -> None:
        seconds = self.seconds.setdefault(device, dict.fromkeys(PHASES, 0.0))
        seconds["load"] += metrics["load_seconds"]
        seconds[phase] += metrics[f"{phase}_seconds"]
        row = self.rows.setdefault(device, {"round": self.number, "cid": device.cid, "host": device.host})
        row["peak_memory_mb"] = max(row.get("peak_memory_mb", 0.0), metrics["peak_memory_mb"])
        row |= {name: metrics[name] for name in DEVICE_METRICS if name in metrics}
        if phase == "train":
            row["examples"] = int(metrics["num-examples"])

    def tables(self, scores: Mapping[str, float]) -> dict[str, list[dict[str, Any]]]:
        """End the round and return its rows of each table; the round's own, with the ``scores``, comes last.

        ``wait`` is what the device's other phases leave of the round: transfer, Flower, other devices.
        """
        whole = time.perf_counter() - self.started
        devices = sorted(self.rows, key=lambda device: device.cid)
        timings = []
        for device in devices:
            phases = self.seconds[device]
            phases["wait"] = max(whole - sum(phases.values()), 0.0)
            who = {"round": self.number, "cid": device.cid, "host": device.host}
            timings += [{**who, "phase": phase, "seconds": seconds} for phase, seconds in phases.items()]
        row = {
            "round": self.number,
            **scores,
            **self.means,
            "devices": len(self.trained),
            "failures": len(self.failed),
            "seconds": whole,
            "bytes_sent": self.sent,
            "bytes_received": self.received,
        }
        return {"devices": [self.rows[device] for device in devices], "timings": timings, "rounds": [row]}

    def late(self) -> dict[str, list[dict[str, Any]]]:
        """Return what this round's devices said of the model of the one before, as columns of that round's rows."""
        last = self.number - 1
        devices = [
            {"round": last, "cid": device.cid, **{name: said[name] for name in DEVICE_METRICS if name in said}}
            for device, said in self.before.items()
        ]
        return {"devices": devices, "rounds": [{"round": last, **_means(list(self.before.values()), "evaluate")}]}


def _means(metrics: Sequence[Mapping[str, float]], phase: str) -> dict[str, float]:
    """Return the means of the ``phase`` over devices, weighted by their examples."""
    examples = sum(one["num-examples"] for one in metrics)
    told = [name for name in MEANS[phase] if examples and all(name in one for one in metrics)]
    return {name: sum(one["num-examples"] * one[name] for one in metrics) / examples for name in told}


def metrics_of(reply: Message) -> dict[str, float]:
    """Return the numbers of a reply's only MetricRecord."""
    record = next(iter(reply.content.metric_records.values()))
    return {name: float(value) for name, value in record.items() if isinstance(value, int | float)}


def _bytes(messages: Iterable[Message]) -> int:
    return sum(count_bytes(a) for message in messages for a in message.content.array_records.values())
