"""The figure of where the time went: a stacked bar for each device and round."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from . import svg, text
from .records import PHASES, Device, Timing
from .summary import Absence

_COLOURS = dict(zip(PHASES, (svg.GREEN, svg.BLUE, svg.ORANGE, svg.WAIT), strict=True))
_OTHER = svg.MUTED
_MOST_BARS = 240
_HEADER = 28  # pixels above a device's bars, for its name
_TOP, _BOTTOM, _LEFT, _RIGHT = 30, 36, 30, 8


@dataclass(frozen=True, slots=True)
class _Bar:
    """The mean of a device's phases over the rounds that the bar stands for."""

    rounds: Sequence[int]
    phases: Mapping[str, float]
    note: str


def rounds_per_bar(devices: int, rounds: int) -> int:
    """How many rounds one bar stands for, so that the figure stays readable."""
    return max(1, math.ceil(rounds / max(1, _MOST_BARS // max(1, devices))))


def time_chart(
    timings: Sequence[Timing],
    devices: Sequence[Device],
    rounds: Sequence[int],
    absences: Mapping[tuple[int, int], Absence],
) -> Markup | None:
    """Where the time of each device went in each round, in seconds.

    Args:
        timings: the rows of ``timings.csv``.
        devices: the fleet.
        rounds: the numbers of the rounds that ended.
        absences: why a device left no timing in a round.
    """
    if not timings:
        return None
    rounds = sorted({*rounds, *(timing.round for timing in timings)})
    per_bar = rounds_per_bar(len(devices), len(rounds))
    chunks = [rounds[start : start + per_bar] for start in range(0, len(rounds), per_bar)]
    bars = _bars(timings, devices, chunks, absences)
    names = [*PHASES, *sorted({timing.phase for timing in timings} - set(PHASES))]
    pitch = max(7, min(18, 900 // (len(devices) * len(chunks))))
    group = _HEADER + pitch * len(chunks)
    height = _TOP + _BOTTOM + group * len(devices)
    with svg.drawing(height) as figure:
        axes = figure.add_axes(
            (
                _LEFT / svg.WIDTH,
                _BOTTOM / height,
                1 - (_LEFT + _RIGHT) / svg.WIDTH,
                1 - (_TOP + _BOTTOM) / height,
            )
        )
        axes.set_ylim(group * len(devices), 0)  # in pixels, from the top
        axes.set_xlim(0, 1.02 * max(sum(bar.phases.values()) for row in bars.values() for bar in row) or 1)
        tips: dict[str, str] = {}
        for place, device in enumerate(devices):
            start = place * group
            host = device.host if len(device.host) <= 36 else device.host[:35] + "…"
            axes.annotate(
                f"{host} · cid {device.cid}",
                (0, start + _HEADER - 8),
                xycoords=axes.get_yaxis_transform(),
                xytext=(-_LEFT, 0),
                textcoords="offset points",
                weight="semibold",
                annotation_clip=False,
            )
            for number, bar in enumerate(bars[device.cid]):
                _draw(
                    axes,
                    bar,
                    names,
                    start + _HEADER + pitch * (number + 0.5),
                    pitch,
                    f"{device.cid}-{number}",
                    tips,
                )
                if number % math.ceil(12 / pitch) == 0:
                    _number(axes, str(bar.rounds[0]), start + _HEADER + pitch * (number + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set_yticks([])
        axes.grid(axis="x")
        axes.set_xlabel("seconds", loc="right", labelpad=2)
        figure.legend(
            handles=[
                Patch(facecolor=_COLOURS.get(name, _OTHER), edgecolor=svg.MUTED, linewidth=0.6, label=name)
                for name in names
            ],
            loc="upper left",
            bbox_to_anchor=(0.0, 1 - 2 / height),
            ncols=len(names),
            fontsize=11.5,
            borderpad=0,
            columnspacing=1.4,
            handlelength=1.1,
            handleheight=0.9,
        )
        return svg.inline(figure, "time", "Where the time of each device went", _words(timings, names), tips)


def _bars(
    timings: Sequence[Timing],
    devices: Sequence[Device],
    chunks: Sequence[Sequence[int]],
    absences: Mapping[tuple[int, int], Absence],
) -> dict[int, list[_Bar]]:
    spent: dict[tuple[int, int], dict[str, float]] = defaultdict(dict)
    for timing in timings:
        phases = spent[timing.cid, timing.round]
        phases[timing.phase] = phases.get(timing.phase, 0.0) + timing.seconds
    bars: dict[int, list[_Bar]] = {}
    for device in devices:
        bars[device.cid] = []
        for chunk in chunks:
            seen = [spent[device.cid, number] for number in chunk if (device.cid, number) in spent]
            sums: dict[str, float] = defaultdict(float)
            for phases in seen:
                for name, seconds in phases.items():
                    sums[name] += seconds / len(seen)
            absence = absences.get((device.cid, chunk[0]), Absence.UNKNOWN)
            bars[device.cid].append(_Bar(chunk, sums, "" if seen else absence.value))
    return bars


def _draw(
    axes: Axes, bar: _Bar, names: Sequence[str], centre: float, pitch: float, key: str, tips: dict[str, str]
) -> None:
    which = f"round {bar.rounds[0]}" if len(bar.rounds) == 1 else f"mean of rounds {bar.rounds[0]} to {bar.rounds[-1]}"
    if bar.note:
        if pitch >= 11:
            axes.text(0, centre, f" {bar.note}", va="center", fontsize=10, color=svg.RED)
        return
    left = 0.0
    for name in names:
        seconds = bar.phases.get(name, 0.0)
        if seconds <= 0:
            continue
        gid = f"bar-{key}-{names.index(name)}"
        corner, height = (left, centre - 0.39 * pitch), 0.78 * pitch
        axes.add_artist(Rectangle(corner, seconds, height, color=_COLOURS.get(name, _OTHER), lw=0, gid=gid))
        tips[gid] = f"{which}: {name} {text.seconds(seconds)}"
        left += seconds


def _number(axes: Axes, label: str, centre: float) -> None:
    axes.annotate(
        label,
        (0, centre),
        xycoords=axes.get_yaxis_transform(),
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=10,
        color=svg.MUTED,
        annotation_clip=False,
    )


def _words(timings: Sequence[Timing], names: Sequence[str]) -> str:
    sums = {name: sum(timing.seconds for timing in timings if timing.phase == name) for name in names}
    whole = sum(sums.values()) or 1.0
    shares = ", ".join(f"{name} {text.percent(spent / whole)}" for name, spent in sums.items())
    return f"Of the time of all devices in all rounds: {shares}."
