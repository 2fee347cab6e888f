"""The figures of a benchmark's page, each an ``<svg>`` element, or None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from fleet.benchmark.results import Row
from fleet.report import svg, text

WIDTH = 860
_MARKERS = "osD^vPX*"  # beside the colours: for those who see no difference, and for more devices than colours


def hosts_of(rows: Sequence[Row]) -> list[str]:
    """Return the devices in the order of their rows."""
    return list(dict.fromkeys(row.host for row in rows))


def _style(place: int) -> tuple[str, str]:
    """Return colour and marker of a device; together they differ for 64 of them."""
    colour = svg.SERIES[place % len(svg.SERIES)]
    return colour, _MARKERS[(place + place // len(svg.SERIES)) % len(_MARKERS)]


def unit(rows: Sequence[Row]) -> str:
    """Return what the bars are the time of: `a batch`, where all are of one size, else `an image`."""
    return "a batch" if len({row.batch_size for row in rows if row.milliseconds}) < 2 else "an image"


def bar_chart(rows: Sequence[Row], tasks: Sequence[str]) -> Markup | None:
    """Seconds that a batch of each model takes, training and, in a thin bar inside, the head alone.

    Where batches differ in size it is the seconds of an image.
    """
    shown = [task for task in ("train", "finetune", "evaluate") if task in tasks]
    timed = [row for row in rows if any(task in row.milliseconds for task in shown)]
    if not timed:
        return None
    first, second = shown[0], shown[1] if len(shown) > 1 else None
    what = unit(timed)

    def time(row: Row, task: str) -> float:
        return (row.milliseconds[task] if what == "a batch" else row.ms_per_image(task) or 0.0) / 1000

    hosts, names = hosts_of(timed), list(dict.fromkeys(row.model for row in timed))
    by_place = {(row.host, row.model): row for row in timed}
    thick = 13 if len(hosts) < 4 else 9
    top, bottom, left = 34, 40, 24 + 7 * max(map(len, names))
    step = thick * len(hosts) + 10
    height = top + bottom + step * len(names)
    tips = {}
    with svg.drawing(height, WIDTH) as figure:
        axes = figure.add_axes((left / WIDTH, bottom / height, (WIDTH - left - 70) / WIDTH, step * len(names) / height))
        _axes(axes)
        for line, name in enumerate(names):
            for place, host in enumerate(hosts):
                row = by_place.get((host, name))
                if row is None or first not in row.milliseconds:
                    continue
                at = line + ((place + 0.5) / len(hosts) - 0.5) * (1 - 10 / step)
                size = thick / step
                seconds = time(row, first)
                gid = f"bar-{place}-{line}"
                tips[gid] = _tip(row, shown)
                axes.barh(at, seconds, size * 0.86, color=_style(place)[0], gid=gid)[0].set_gid(gid)
                if second and second in row.milliseconds:
                    part = axes.barh(at, time(row, second), size * 0.3, color=svg.GROUND, alpha=0.75)
                    part[0].set_gid(f"part-{place}-{line}")
                axes.text(seconds, at, f" {seconds:.3g}", va="center", fontsize=9.5, color=svg.MUTED, clip_on=False)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", labelcolor=svg.INK)
        axes.grid(axis="x")
        axes.set_xlabel(f"seconds {what}", loc="right")
        _legend(figure, hosts, [Patch(color=_style(place)[0]) for place in range(len(hosts))])
        ranked = sorted((row for row in timed if first in row.milliseconds), key=lambda row: time(row, first))
        words = f"{first.capitalize()}: " + " to ".join(
            f"{row.model} on {row.host} with {text.seconds(time(row, first))} {what}" for row in (ranked[0], ranked[-1])
        )
        words += "."
        if second:
            words += f" The thin bar inside is {second}."
        return svg.inline(figure, "bars", f"Time of {what}, by model and device", words, tips)


def scatter_chart(rows: Sequence[Row], task: str) -> Markup | None:
    """ImageNet's top-1 against the seconds that an image takes: what lies up and to the left is the better choice."""
    known = [(row, row.number("top1"), row.ms_per_image(task)) for row in rows]
    points = [(row, top1, each / 1000) for row, top1, each in known if top1 is not None and each is not None]
    if not points:
        return None
    hosts, height, tips = hosts_of([row for row, *_ in points]), 430, {}
    with svg.drawing(height, WIDTH) as figure:
        axes = figure.add_axes((0.07, 0.11, 0.9, 0.79))
        _axes(axes)
        axes.grid(axis="both")
        axes.set_xscale("log")
        for place, host in enumerate(hosts):
            colour, marker = _style(place)
            for number, (row, top1, each) in enumerate(points):
                if row.host != host:
                    continue
                gid = f"point-{place}-{number}"
                tips[gid] = f"{row.model} on {host}: {top1:.1f} %, {each:.3g} s an image"
                axes.plot([each], [top1], linestyle="None", marker=marker, color=colour, markersize=8, gid=gid)
        _name_points(axes, points)
        axes.margins(x=0.12, y=0.1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.set_xlabel(f"seconds an image, {task}", loc="right")
        handles = [
            Line2D([], [], linestyle="None", marker=_style(place)[1], color=_style(place)[0])
            for place in range(len(hosts))
        ]
        _legend(figure, hosts, handles)
        words = f"{len(points)} points; up is more accurate on ImageNet (top-1), left is faster."
        return svg.inline(figure, "scatter", "Accuracy against time", words, tips)


def _name_points(axes: Axes, points: Sequence[tuple[Row, float, float]]) -> None:
    """Name each model once, beside its fastest point."""
    fastest: dict[str, tuple[float, float]] = {}
    for row, top1, each in points:
        if row.model not in fastest or each < fastest[row.model][0]:
            fastest[row.model] = (each, top1)
    for name, place in fastest.items():
        axes.annotate(
            name.removesuffix("_patch16_224"), place, (6, 4), textcoords="offset points", fontsize=9.5, color=svg.MUTED
        )


def _tip(row: Row, tasks: Sequence[str]) -> str:
    parts = [f"{task} {_seconds(row, task)}" for task in tasks if task in row.milliseconds]
    return f"{row.model} on {row.host}: {', '.join(parts)} a batch of {row.batch_size}"


def _seconds(row: Row, task: str) -> str:
    return text.seconds(row.milliseconds.get(task, 0) / 1000) if task in row.milliseconds else text.MISSING


def _axes(axes: Axes) -> None:
    axes.grid(False)
    axes.tick_params(axis="both", length=0)


def _legend(figure: Figure, hosts: Sequence[str], handles: Sequence[Line2D | Patch]) -> None:
    figure.legend(
        handles,
        hosts,
        loc="upper left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=6,
        fontsize=11.5,
        borderpad=0,
        handlelength=1.2,
    )
