"""Matplotlib figures as SVG that lives in a page: its text is text, its colours are the page's.

A figure is drawn with placeholder colours (:data:`INK`, :data:`BLUE` …), one for each custom property of the page's
style sheet, which take their place; so one drawing serves the light and the dark scheme.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

# Placeholders: colours that nothing else draws with.
INK, MUTED, LINE, GROUND = "#010203", "#010204", "#010205", "#010206"
BLUE, ORANGE, GREEN, WAIT, RED = "#010207", "#010208", "#010209", "#01020a", "#01020b"
#: Colours that tell one thing of a kind from another, in the pages that define them (`--series-0` …).
SERIES = tuple(f"#0103{place:02x}" for place in range(8))
_PROPERTIES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    GROUND: "--ground",
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    WAIT: "--wait",
    RED: "--red",
    **{colour: f"--series-{place}" for place, colour in enumerate(SERIES)},
}

#: Points (1/72 inch) of a figure are the pixels that it takes in the page at full width.
WIDTH = 420

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fleet",  # the same run gives the same page
    "text.parse_math": False,  # a $ in a host's name is a $
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 2,
    "lines.markersize": 5.5,
}


@contextmanager
def drawing(height: float, width: float = WIDTH) -> Iterator[Figure]:
    """A figure of ``width`` by ``height`` pixels, and the style to draw in it."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The reader's own fonts show the text, so glyphs that matplotlib's font lacks are no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        yield Figure(figsize=(width / 72, height / 72))


def inline(figure: Figure, name: str, title: str, description: str, tips: Mapping[str, str] = {}) -> Markup:
    """Turn a figure into an ``<svg>`` element of a page; call it within :func:`drawing`.

    Args:
        figure: the figure.
        name: makes the ids of this figure its own in the page.
        title: what the figure is, for a screen reader.
        description: what it shows, in words.
        tips: for the gid of an artist, the text to show when a pointer rests on it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ET.fromstring(buffer.getvalue())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {key.rpartition("}")[2]: _adapt(value, key, name) for key, value in element.attrib.items()}
        if (tip := tips.get(element.get("id", "").removeprefix(f"{name}-"))) is not None:
            ET.SubElement(element, "title").text = tip
    for definitions in root.findall("defs"):
        for rules in definitions.findall("style"):  # they would hold for the whole page
            definitions.remove(rules)
    for text in root.iter("text"):
        text.set("style", re.sub(r"font-family: [^;]*; ?", "", text.get("style", "")))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for place, (tag, words) in enumerate((("title", title), ("desc", description))):
        label = ET.Element(tag, {"id": f"{name}-{tag}"})
        label.text = words
        root.insert(place, label)
    return Markup(ET.tostring(root, encoding="unicode"))


def _adapt(value: str, key: str, name: str) -> str:
    """Put the page's colours for placeholders, and the figure's name before its ids."""
    for colour, variable in _PROPERTIES.items():
        value = value.replace(colour, f"var({variable})")
    if key == "id":
        return f"{name}-{value}"
    if key.endswith("href"):
        return value.replace("#", f"#{name}-")
    return value.replace("url(#", f"url(#{name}-")
