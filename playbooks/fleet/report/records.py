"""What a run leaves in its folder, as plain records.

The fields of :class:`Round`, :class:`Reply` and :class:`Timing` are the columns of ``rounds.csv``, ``devices.csv``
and ``timings.csv``; those of the others are keys of ``run.json``. ``None`` stands for a value that is not there.
Losses are as the app computed them, accuracies are in 0..1, times in seconds, memory in MB, data in bytes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

PHASES = ("load", "train", "evaluate", "wait")

# Neither XML nor a page has room for these, and a terminal should not get them from a device.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Put U+FFFD in place of what cannot be shown: control characters and lone surrogates."""
    return _UNPRINTABLE.sub("\ufffd", text)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Text = Annotated[str, AfterValidator(clean)]
Moment = Annotated[datetime, AfterValidator(_utc)]
Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A part of a run's folder; columns and keys that it does not know are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Host(Record):
    """A machine of the fleet."""

    host: Text
    board: Text | None = None
    architecture: Text | None = None
    cores: int | None = None
    memory_mb: float | None = None
    runtime: Text | None = None
    gpu: Text | None = None
    python: Text | None = None
    flwr: Text | None = None
    torch: Text | None = None
    tensorflow: Text | None = None


class Server(Host):
    """The host of the SuperLink and the ServerApp."""

    address: Text | None = None


class Throttled(Record):
    """What a Raspberry Pi's firmware held back: its bits before and after the run, and in words what came up."""

    before: Text
    after: Text
    said: tuple[Text, ...] = ()


class Device(Host):
    """A host that trains: one SuperNode."""

    cid: Count
    reachable: bool = True
    throttled: Throttled | None = None


class Dataset(Record):
    """The data set of the run; ``labels`` holds, for each cid, the number of examples of each class."""

    name: Text
    source: Text | None = None
    checksum: Text | None = None
    classes: tuple[Text, ...] = ()
    train_examples: Count | None = None
    test_examples: Count | None = None
    queries: Count | None = None
    partitioner: Text | None = None
    alpha: float | None = None
    seed: int | None = None
    labels: dict[Count, tuple[Count, ...]] = {}

    @model_validator(mode="after")
    def _same_classes(self) -> Dataset:
        lengths = {len(counts) for counts in self.labels.values()}
        if self.classes and lengths:
            lengths.add(len(self.classes))
        if len(lengths) > 1:
            raise ValueError("classes and the counts of labels differ in length")
        return self


class App(Record):
    """The Flower app that ran."""

    name: Text
    version: Text | None = None


class Model(Record):
    """The model, where the app names it; `trained` are the parameters that are not frozen."""

    name: Text
    parameters: Count | None = None
    trained: Count | None = None


class Outage(Record):
    """A gap in a run that was cut off: from the end of a round until the run went on with the next."""

    after_round: Count
    seconds: float


class Round(Record):
    """A round: the global model on the server's test set, and the replies that made it.

    `rank1` to `mAP`, in 0..1, are those of re-identification, in the place of loss and accuracy.
    """

    round: Count
    loss: float | None = None
    accuracy: float | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
    rank1: float | None = None
    rank5: float | None = None
    rank10: float | None = None
    mAP: float | None = None  # noqa: N815 (the column)
    devices: Count | None = None
    failures: Count | None = None
    seconds: float | None = None
    bytes_sent: Count | None = None
    bytes_received: Count | None = None

    @property
    def score(self) -> float | None:
        """How good the model is: its accuracy or, for re-identification, the share of queries right at rank 1."""
        return self.rank1 if self.accuracy is None else self.accuracy

    @property
    def scored(self) -> str:
        """What `score` is."""
        return "rank 1" if self.accuracy is None and self.rank1 is not None else "accuracy"


class Reply(Record):
    """What one device answered in one round."""

    round: Count
    cid: Count
    host: Text | None = None
    examples: Count | None = None
    train_loss: float | None = None
    train_seconds: float | None = None
    eval_loss: float | None = None
    eval_accuracy: float | None = None
    eval_rank1: float | None = None
    peak_memory_mb: float | None = None


class Timing(Record):
    """The seconds of one phase of one device in one round."""

    round: Count
    cid: Count
    host: Text | None = None
    phase: Text
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Info(Record):
    """``run.json``: what was run, where, with what, and how it ended."""

    run_id: Text
    status: Literal["finished", "failed", "stopped"]
    error: Text | None = None
    started: Moment | None = None
    ended: Moment | None = None
    seconds: float | None = None
    app: App | None = None
    settings: dict[Text, Any] = {}
    versions: dict[Text, Text | None] = {}
    server: Server | None = None
    dataset: Dataset | None = None
    devices: tuple[Device, ...] = ()
    model: Model | None = None
    beginning: dict[str, float] | None = None  # the scores of the model that the run began with
    warnings: tuple[Text, ...] = ()
    resumed_from: Text | None = None
    outages: tuple[Outage, ...] = ()

    @model_validator(mode="after")
    def _one_device_a_cid(self) -> Info:
        cids = [device.cid for device in self.devices]
        if twice := sorted({cid for cid in cids if cids.count(cid) > 1}):
            raise ValueError(f"two devices have cid {twice[0]}")
        return self

    @property
    def total_rounds(self) -> int | None:
        """The number of rounds that was asked for, or None where the app has no such setting."""
        rounds = self.settings.get("rounds")
        return rounds if isinstance(rounds, int) and not isinstance(rounds, bool) else None


class Run(Record):
    """A run's folder; ``rounds``, ``replies`` and ``timings`` are in order of their round, and may be empty."""

    folder: Path
    info: Info
    rounds: tuple[Round, ...]
    replies: tuple[Reply, ...]
    timings: tuple[Timing, ...]
