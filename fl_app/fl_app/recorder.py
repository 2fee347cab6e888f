"""A strategy that hands everything to another one and writes down each round as it ends."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fl_app import arrays as arrays_of
from fl_app import checkpoints
from fl_app.errors import AppError
from fl_app.run_folder import RunFolder

logger = logging.getLogger("flwr")
# Errors that the app on the device gave, and would give again; the others tell of devices that went away.
APP_ERRORS = {
    ErrorCode.LOAD_CLIENT_APP_EXCEPTION,
    ErrorCode.CLIENT_APP_RAISED_EXCEPTION,
    ErrorCode.MOD_FAILED_PRECONDITION,
}
PHASES = ("load", "train", "evaluate")


@dataclass
class _Round:
    """What is known of the round that is under way."""

    number: int
    started: float = field(default_factory=time.perf_counter)
    sampled: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)  # by the message that is out
    answered: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    train_loss: float | None = None
    sent: int = 0
    received: int = 0
    devices: dict[int, dict[str, Any]] = field(default_factory=dict)  # by cid: the row, and seconds by phase


class Recorder(Strategy):
    """Delegates to ``strategy`` and writes rounds, devices, timings and checkpoints into ``folder``.

    ``done`` rounds lie behind a resumed run: `Strategy.start` counts from 1, the delegate and the files go on
    from there. ``rounds`` is their number in all; ``state`` names the attributes that the strategy's
    optimiser keeps.
    """

    def __init__(
        self, strategy: Strategy, folder: RunFolder, rounds: int, done: int = 0, state: tuple[str, ...] = ()
    ) -> None:
        self.strategy = strategy
        self.folder = folder
        self.rounds = rounds
        self.done = done
        self.state = state
        self.current = _Round(done)
        self.known: dict[int, tuple[int, str]] = {}  # node id -> (cid, host)

    def summary(self) -> None:
        """Log the delegate's settings."""
        logger.info("strategy: %s", type(self.strategy).__name__)
        self.strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Start a round: have the delegate choose the devices."""
        self.current = _Round(self.done + server_round)
        self.dtypes = arrays_of.dtypes(arrays)
        return self._send(self.strategy.configure_train(self.current.number, arrays, config, grid))

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Note what the devices replied and have the delegate aggregate it.

        Raises `AppError` where the app failed on every device that was asked: it would fail in the next round
        too.
        """
        ordered = self._receive(replies, "train")
        errors = [reply.error for reply in ordered if reply.has_error()]
        if errors and len(errors) == len(self.current.asked) and all(e.code in APP_ERRORS for e in errors):
            raise AppError(
                f"round {self.current.number}: training failed on all {len(errors)} devices; the first said: "
                f"{errors[0].reason}"
            )
        new, metrics = self.strategy.aggregate_train(self.current.number, ordered)
        if new is None and self.current.answered:
            logger.warning("round %d: the strategy made no new model of the replies", self.current.number)
        return (None if new is None else arrays_of.like(new, self.dtypes)), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Have the delegate choose the devices that evaluate."""
        return self._send(self.strategy.configure_evaluate(self.current.number, arrays, config, grid))

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Note what the devices replied and have the delegate aggregate it."""
        return self.strategy.aggregate_evaluate(self.current.number, self._receive(replies, "evaluate"))

    def end_of_round(
        self, evaluate: Callable[[ArrayRecord], tuple[float, float]]
    ) -> Callable[[int, ArrayRecord], MetricRecord]:
        """Return the ``evaluate_fn`` for `Strategy.start`, which Flower calls before the first and after each round.

        ``evaluate`` returns loss and accuracy of the global model on the server's test set.
        """

        def end(server_round: int, arrays: ArrayRecord) -> MetricRecord:
            loss, accuracy = evaluate(arrays)
            checkpoints.save(self.folder, self.done + server_round, arrays, self.strategy, self.state)
            if server_round > 0:
                self._write(loss, accuracy)
            return MetricRecord({"loss": loss, "accuracy": accuracy})

        return end

    def _send(self, messages: Iterable[Message]) -> list[Message]:
        out = list(messages)
        self.current.asked = {message.metadata.dst_node_id for message in out}
        self.current.sampled |= self.current.asked
        self.current.sent += _bytes(out)
        return out

    def _receive(self, replies: Iterable[Message], phase: str) -> list[Message]:
        """Note the replies and return them by cid, so that sums come out the same whoever is first."""
        now = self.current
        good, errors = [], []
        for reply in replies:
            (errors if reply.has_error() else good).append(reply)
        now.received += _bytes(good)
        answered = {reply.metadata.src_node_id for reply in good}
        if phase == "train":
            now.answered = answered
        now.failed |= now.asked - answered
        for reply in good:
            self._note(reply, phase)
        if now.asked - answered:
            self._note_failures(
                {reply.metadata.src_node_id: reply.error.reason for reply in errors}, answered, phase
            )
        if phase == "train" and good:
            metrics = [next(iter(reply.content.metric_records.values())) for reply in good]
            weights = [_number(m["num-examples"]) for m in metrics]
            losses = [_number(m["train_loss"]) for m in metrics]
            now.train_loss = sum(w * x for w, x in zip(weights, losses, strict=True)) / sum(weights)
        good.sort(key=lambda reply: self.known[reply.metadata.src_node_id])
        return good + errors

    def _note(self, reply: Message, phase: str) -> None:
        device = reply.content.config_records["device"]
        metrics = next(iter(reply.content.metric_records.values()))
        cid, host = int(str(device["cid"])), str(device["host"])
        self.known[reply.metadata.src_node_id] = (cid, host)
        self.folder.info.setdefault("devices", {})[str(cid)] = {k: v for k, v in device.items() if k != "cid"}
        row = self.current.devices.setdefault(
            cid, {"cid": cid, "host": host, "phases": dict.fromkeys(PHASES, 0.0)}
        )
        row["phases"]["load"] += _number(metrics["load_seconds"])
        row["phases"][phase] += _number(metrics[f"{phase}_seconds"])
        row["peak_memory_mb"] = max(row.get("peak_memory_mb", 0.0), _number(metrics["peak_memory_mb"]))
        if phase == "train":
            row["examples"] = int(_number(metrics["num-examples"]))
        row |= {
            name: _number(metrics[name])
            for name in ("train_loss", "train_seconds", "eval_loss", "eval_accuracy")
            if name in metrics
        }

    def _note_failures(self, reasons: dict[int, str | None], answered: set[int], phase: str) -> None:
        failures = self.folder.info.setdefault("failures", [])
        for node in sorted(self.current.asked - answered):
            cid, host = self.known.get(node, (None, None))
            reason = " ".join((reasons.get(node) or "no answer").split())
            failures.append(
                {"round": self.current.number, "phase": phase, "cid": cid, "host": host, "reason": reason}
            )
            logger.warning("round %d: %s failed on cid %s: %s", self.current.number, phase, cid, reason)

    def _write(self, loss: float, accuracy: float) -> None:
        now = self.current
        seconds = time.perf_counter() - now.started
        rows = [{"round": now.number, **row} for _, row in sorted(now.devices.items())]
        timings = []
        for row in rows:
            spent = row.pop("phases")
            spent["wait"] = max(seconds - sum(spent.values()), 0.0)
            timings += [
                {
                    "round": now.number,
                    "cid": row["cid"],
                    "host": row["host"],
                    "phase": phase,
                    "seconds": value,
                }
                for phase, value in spent.items()
            ]
        self.folder.update()
        self.folder.add("devices", rows)
        self.folder.add("timings", timings)
        # The round's row comes last: where it is, all else of the round is on the disk.
        self.folder.add(
            "rounds",
            [
                {
                    "round": now.number,
                    "loss": loss,
                    "accuracy": accuracy,
                    "train_loss": now.train_loss,
                    "devices": len(now.answered),
                    "failures": len(now.failed),
                    "seconds": seconds,
                    "bytes_sent": now.sent,
                    "bytes_received": now.received,
                }
            ],
        )
        logger.info(
            "round %d/%d  loss %.3f  accuracy %.3f  devices %d/%d  %.1f s",
            now.number,
            self.rounds,
            loss,
            accuracy,
            len(now.answered),
            len(now.sampled),
            seconds,
        )


def _bytes(messages: Iterable[Message]) -> int:
    return sum(
        arrays_of.count_bytes(a) for message in messages for a in message.content.array_records.values()
    )


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"a device replied with {value!r} where a number belongs")
    return float(value)
