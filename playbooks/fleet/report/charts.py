"""The figures of the report, each an ``<svg>`` element, or None where the run left nothing to draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from . import svg, text
from .records import Dataset, Device, Round

_HEIGHT = 230
_MARKED_ROUNDS = 40  # with more rounds, markers hide the line


def loss_chart(rounds: Sequence[Round]) -> Markup | None:
    """The loss of the global model on the server's test set, and the devices' training loss, over the rounds."""
    lines = {
        "server's test set": ([row.loss for row in rounds], svg.BLUE, "-", "o"),
        "training, on the devices": ([row.train_loss for row in rounds], svg.ORANGE, "--", "s"),
    }
    return _curves("loss", "Loss", rounds, lines, text.number)


def accuracy_chart(rounds: Sequence[Round]) -> Markup | None:
    """The accuracy of the global model on the server's test set, and the devices' in training, over the rounds."""
    lines = {
        "server's test set": ([row.accuracy for row in rounds], svg.BLUE, "-", "o"),
        "training, on the devices": ([row.train_accuracy for row in rounds], svg.ORANGE, "--", "s"),
    }
    return _curves("accuracy", "Accuracy", rounds, lines, text.percent)


def rank_chart(rounds: Sequence[Round]) -> Markup | None:
    """How often the global model finds an identity again in the server's gallery, over the rounds."""
    lines = {
        "rank 1": ([row.rank1 for row in rounds], svg.BLUE, "-", "o"),
        "rank 5": ([row.rank5 for row in rounds], svg.ORANGE, "--", "s"),
        "rank 10": ([row.rank10 for row in rounds], svg.GREEN, "-.", "^"),
        "mAP": ([row.mAP for row in rounds], svg.INK, ":", "d"),
    }
    return _curves("ranks", "Ranks", rounds, lines, text.percent)


_Lines = dict[str, tuple[list[float | None], str, str, str]]


def _curves(
    name: str, title: str, rounds: Sequence[Round], lines: _Lines, shown: Callable[[float | None], str]
) -> Markup | None:
    numbers = [row.round for row in rounds]
    drawn = {label: line for label, line in lines.items() if any(_finite(line[0]))}
    if not drawn:
        return None
    with svg.drawing(_HEIGHT) as figure:
        axes = figure.add_axes((0.11, 0.15, 0.86, 0.71))
        for label, (values, colour, dashes, marker) in drawn.items():
            points = [value if value is not None and math.isfinite(value) else math.nan for value in values]
            marked = marker if len(numbers) <= _MARKED_ROUNDS else "None"
            axes.plot(numbers, points, color=colour, linestyle=dashes, marker=marked, label=label)
        failed = [row.round for row in rounds if row.failures]
        if failed:
            axes.plot(
                failed,
                [0.0] * len(failed),
                transform=axes.get_xaxis_transform(),
                color=svg.RED,
                linestyle="None",
                marker="x",
                markeredgewidth=1.8,
                clip_on=False,
                label="failures",
            )
        _round_axis(axes, numbers)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if shown is text.percent:
            low, high = axes.get_ylim()
            axes.set_ylim(max(low, -0.02), min(max(high, low + 0.02), 1.02))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        figure.legend(
            loc="upper left",
            bbox_to_anchor=(0.0, 1.02),
            ncols=max(3, len(drawn)),
            fontsize=11.5,
            borderpad=0,
            columnspacing=1.1,
            handlelength=1.8,
        )
        words = "; ".join(f"{label}: {_course(numbers, values, shown)}" for label, (values, *_) in drawn.items())
        if failed:
            words += f"; failures in {text.plural(len(failed), 'round')}"
        return svg.inline(figure, name, f"{title} over the rounds", words + ".")


def _finite(values: Sequence[float | None]) -> list[bool]:
    return [value is not None and math.isfinite(value) for value in values]


def _course(numbers: Sequence[int], values: Sequence[float | None], shown: Callable[[float | None], str]) -> str:
    known = [pair for pair in zip(numbers, values, strict=True) if _finite(pair[1:])[0]]
    (first, start), (last, end) = known[0], known[-1]
    if first == last:
        return f"{shown(start)} in round {first}"
    return f"{shown(start)} in round {first}, {shown(end)} in round {last}"


def _round_axis(axes: Axes, numbers: Sequence[int]) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    first, last = numbers[0], numbers[-1]
    margin = max(0.03 * (last - first), 0.15)
    axes.set_xlim(first - margin, last + margin)
    axes.set_xlabel("round", loc="right", labelpad=0)


def label_chart(dataset: Dataset, devices: Sequence[Device]) -> Markup | None:
    """How many examples of each class each device holds: a heat map of devices and classes."""
    if not dataset.labels:
        return None
    width = len(next(iter(dataset.labels.values())))
    classes = dataset.classes or tuple(str(label) for label in range(width))
    hosts = {device.cid: device.host for device in devices}
    cids = sorted({*dataset.labels, *hosts})
    most = max((max(counts, default=0) for counts in dataset.labels.values()), default=0) or 1
    turned = width > 12 or max(map(len, classes)) > 4
    labels = [_short(hosts.get(cid, f"cid {cid}")) for cid in cids]
    row_height, top, left = 26, 74 if turned else 26, 16 + 7 * max(map(len, labels))
    height = top + row_height * len(cids) + 6
    with svg.drawing(height) as figure:
        plot_width = svg.WIDTH - left - (24 if turned else 4)
        axes = figure.add_axes((left / svg.WIDTH, 6 / height, plot_width / svg.WIDTH, row_height * len(cids) / height))
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(len(cids) - 0.5, -0.5)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        tips = {}
        for place, cid in enumerate(cids):
            counts = dataset.labels.get(cid)
            if counts is None:
                axes.text(-0.4, place, "no part: images of its own", color=svg.MUTED, va="center")
                continue
            for label, amount in enumerate(counts):
                gid = f"cell-{cid}-{label}"
                tips[gid] = f"{hosts.get(cid, f'cid {cid}')}, class {classes[label]}: {amount:,}"
                # Up to 0.55 of the colour, so that the number on it stays legible in both schemes.
                shade = 0.05 + 0.5 * amount / most
                corner = (label - 0.47, place - 0.45)
                axes.add_artist(Rectangle(corner, 0.94, 0.9, color=svg.BLUE, lw=0, alpha=shade, gid=gid))
                if width <= 12:
                    ink = svg.INK if amount else svg.MUTED
                    axes.text(label, place, f"{amount}", ha="center", va="center", color=ink, fontsize=10)
        axes.set_yticks(range(len(cids)), labels, ha="left")
        axes.tick_params(axis="both", length=0)
        axes.tick_params(axis="y", pad=left, labelcolor=svg.INK)
        axes.xaxis.tick_top()
        step = math.ceil(width / 24)
        axes.set_xticks(
            range(0, width, step),
            [_short(name, 12) for name in classes[::step]],
            rotation=60 if turned else 0,
            ha="left" if turned else "center",
            rotation_mode="anchor",
        )
        words = (
            f"Examples of {width} classes on {text.plural(len(dataset.labels), 'device')}; the most of one class on "
            f"one device are {most:,}."
        )
        return svg.inline(figure, "labels", "Labels of each device's part of the data", words, tips)


def _short(words: str, most: int = 13) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
