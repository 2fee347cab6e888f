"""What a run's records say when put together: the fleet, who answered when, and the best round."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from .records import Device, Reply, Round, Run, Timing


class Absence(Enum):
    """Why a device has no reply in a round, as far as ``rounds.csv`` can tell; it counts replies, not names."""

    FAILED = "no reply"
    NOT_ASKED = "not asked"
    UNKNOWN = "no reply or not asked"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class DeviceSummary:
    """A device over all rounds; ``failures`` is the least and the greatest number that fits ``rounds.csv``."""

    device: Device
    replies: tuple[Reply, ...]
    rounds: int
    failures: tuple[int, int]

    @property
    def examples(self) -> int | None:
        """The examples that it last trained on."""
        return next((reply.examples for reply in reversed(self.replies) if reply.examples is not None), None)

    def last(self, name: str) -> float | None:
        """The last value of a column of ``devices.csv``."""
        values = (getattr(reply, name) for reply in reversed(self.replies))
        return next((value for value in values if value is not None), None)

    @property
    def uncertain(self) -> bool:
        """Whether its number of failures is known only as a range."""
        return self.failures[0] != self.failures[1]

    @property
    def peak_memory_mb(self) -> float | None:
        """The most memory that it used in any round."""
        return max((r.peak_memory_mb for r in self.replies if r.peak_memory_mb is not None), default=None)


def trained_rounds(run: Run) -> tuple[Round, ...]:
    """The rounds of training; a round 0 holds the initial model's test only."""
    return tuple(row for row in run.rounds if row.round > 0)


def fleet(run: Run) -> tuple[Device, ...]:
    """All devices by cid: those of ``run.json``, and any other that answered."""
    known = {device.cid: device for device in run.info.devices}
    rows: Iterable[Reply | Timing] = (*run.replies, *run.timings)
    for row in rows:
        if row.cid not in known:
            known[row.cid] = Device(host=row.host or f"device {row.cid}", cid=row.cid)
    return tuple(known[cid] for cid in sorted(known))


def absences(run: Run) -> dict[tuple[int, int], Absence]:
    """Why, by (cid, round), each device that left no reply in a round left none."""
    devices = fleet(run)
    reachable = sum(device.reachable for device in devices)
    rows: Iterable[Reply | Timing] = (*run.replies, *run.timings)
    here = {(row.cid, row.round) for row in rows}
    reasons = {}
    for row in trained_rounds(run):
        if row.devices is None or row.failures is None:
            reason = Absence.UNKNOWN
        elif row.failures == 0:
            reason = Absence.NOT_ASKED
        elif row.devices + row.failures >= reachable:
            reason = Absence.FAILED
        else:
            reason = Absence.UNKNOWN
        for device in devices:
            if (device.cid, row.round) not in here:
                reasons[device.cid, row.round] = reason if device.reachable else Absence.UNREACHABLE
    return reasons


def device_summaries(run: Run) -> tuple[DeviceSummary, ...]:
    """Every device of the fleet, by cid."""
    reasons = absences(run)
    rounds = len(trained_rounds(run))
    replies: dict[int, list[Reply]] = {}
    for reply in run.replies:
        replies.setdefault(reply.cid, []).append(reply)
    summaries = []
    for device in fleet(run):
        own = [reason for (cid, _), reason in reasons.items() if cid == device.cid]
        least = own.count(Absence.FAILED)
        summaries.append(
            DeviceSummary(
                device,
                tuple(replies.get(device.cid, ())),
                rounds,
                (least, least + own.count(Absence.UNKNOWN)),
            )
        )
    return tuple(summaries)


def total(values: Iterable[int | None]) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def last_tested(rounds: Sequence[Round]) -> Round | None:
    """The last round with a score."""
    return next((row for row in reversed(rounds) if row.score is not None), None)


def best_tested(rounds: Sequence[Round]) -> Round | None:
    """The (first) round with the greatest score."""
    tested = [row for row in rounds if row.score is not None and math.isfinite(row.score)]
    return max(tested, key=lambda row: row.score or 0.0, default=None)
