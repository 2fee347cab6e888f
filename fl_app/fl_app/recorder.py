"""A strategy that hands everything to another one and writes down each round as it ends."""

import logging
from collections.abc import Callable, Iterable, Mapping

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.constant import ErrorCode  # exported nowhere else
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fl_app import arrays as arrays_of
from fl_app import checkpoints, riding
from fl_app.answering import Present
from fl_app.errors import AppError
from fl_app.riding import Evaluation
from fl_app.round_log import Device, RoundLog
from fl_app.run_folder import RunFolder
from fl_app.waiting import Wait

logger = logging.getLogger("flwr")
# What the app on the device raised, and would raise again; other errors tell of devices that went away.
APP_ERRORS = {
    ErrorCode.LOAD_CLIENT_APP_EXCEPTION,
    ErrorCode.CLIENT_APP_RAISED_EXCEPTION,
    ErrorCode.MOD_FAILED_PRECONDITION,
}


class Recorder(Strategy):
    """Delegates to ``strategy`` and writes rounds, devices, timings and checkpoints into ``folder``.

    ``done`` rounds lie behind a resumed run: `Strategy.start` counts from 1, the delegate and the files go on
    from there. ``rounds`` is their number in all; ``wait`` waits for the devices of a phase, of an evaluation
    only where there is one; ``state`` names what the strategy's optimiser keeps. Where ``evaluation`` rides, a round's
    row gets its columns in the next round.
    """

    def __init__(
        self,
        strategy: Strategy,
        folder: RunFolder,
        rounds: int,
        wait: Wait,
        evaluation: Evaluation,
        done: int = 0,
        state: tuple[str, ...] = (),
    ) -> None:
        self.strategy = strategy
        self.folder = folder
        self.rounds = rounds
        self.wait = wait
        self.evaluation = evaluation
        self.done = done
        self.state = state
        self.written = folder.last_round()
        self.now = RoundLog(done)
        self.known: dict[int, Device] = {}  # by node id

    def summary(self) -> None:
        """Log the delegate's settings."""
        logger.info("strategy: %s", type(self.strategy).__name__)
        self.strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Start a round: have the delegate choose the devices."""
        self.now = RoundLog(self.done + server_round)
        nodes = self.wait(grid, self.now.number)
        self.dtypes = arrays_of.dtypes(arrays)
        messages = list(self.strategy.configure_train(self.now.number, arrays, config, Present(grid, nodes)))
        if self.evaluation.rides and 0 < self.written == self.now.number - 1:
            messages = riding.ask(messages, self.evaluation.devices(len(nodes)))
        return self.now.send(messages)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Note what the devices replied and have the delegate aggregate it.

        Raises `AppError` where the app failed on every device that was asked: so would the next round.
        """
        ordered = self._receive(replies, "train")
        if self.now.before:
            for table, rows in self.now.late().items():
                self.folder.amend(table, rows)
        errors = [reply.error for reply in ordered if reply.has_error()]
        if errors and len(errors) == len(self.now.asked) and all(e.code in APP_ERRORS for e in errors):
            raise AppError(
                f"round {self.now.number}: training failed on every device ({len(errors)}); "
                f"the first said: {errors[0].reason}"
            )
        new, metrics = self.strategy.aggregate_train(self.now.number, ordered)
        if new is None and self.now.trained:
            logger.warning("round %d: the strategy made no new model of the replies", self.now.number)
        return (None if new is None else arrays_of.like(new, self.dtypes)), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Have the delegate choose the devices that evaluate; the last round's, where evaluation rides."""
        if self.evaluation.rides and self.now.number < self.rounds:
            return self.now.send(())
        if self.evaluation.fraction > 0:
            grid = Present(grid, self.wait(grid, self.now.number))
        return self.now.send(self.strategy.configure_evaluate(self.now.number, arrays, config, grid))

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Note what the devices replied and have the delegate aggregate it."""
        return self.strategy.aggregate_evaluate(self.now.number, self._receive(replies, "evaluate"))

    def end_of_round(
        self, evaluate: Callable[[ArrayRecord], Mapping[str, float]]
    ) -> Callable[[int, ArrayRecord], MetricRecord]:
        """Return the ``evaluate_fn`` of `Strategy.start`, called before the first round and after each.

        ``evaluate`` returns the scores of the global model on the server's test set, by their columns.
        """

        def end(server_round: int, arrays: ArrayRecord) -> MetricRecord:
            scores = evaluate(arrays)
            checkpoints.save(self.folder, self.done + server_round, arrays, self.strategy, self.state)
            if server_round > 0:
                self._write(scores)
            elif not self.done:
                self.folder.update(beginning=dict(scores))
            return MetricRecord(dict(scores))

        return end

    def _receive(self, replies: Iterable[Message], phase: str) -> list[Message]:
        ordered, reasons = self.now.receive(replies, phase)
        for reply in ordered:
            if not reply.has_error():
                device = self.known[reply.metadata.src_node_id] = Device.of(reply)
                about = reply.content.config_records["device"]
                self.folder.info["devices"][str(device.cid)] = {k: v for k, v in about.items() if k != "cid"}
        for node, reason in reasons.items():
            # A device that never answered is known by its node id alone, not by its cid.
            who = self.known.get(node)
            cid, host = (who.cid, who.host) if who else (None, None)
            failure = {"round": self.now.number, "phase": phase, "cid": cid, "host": host, "reason": reason}
            self.folder.info["failures"].append(failure)
            logger.warning("round %d: %s failed on %s: %s", self.now.number, phase, who or f"node {node}", reason)
        if reasons:
            self.folder.update()
        return ordered

    def _write(self, scores: Mapping[str, float]) -> None:
        tables = self.now.tables(scores)
        self.folder.update()
        for table, rows in tables.items():
            self.folder.add(table, rows)
        self.written = self.now.number
        logger.info(
            "round %d/%d  %s  devices %d/%d  %.1f s",
            self.now.number,
            self.rounds,
            "  ".join(f"{name} {score:.3f}" for name, score in scores.items()),
            len(self.now.trained),
            len(self.now.sampled),
            tables["rounds"][0]["seconds"],
        )
