"""The report in a real browser, opened from its file as a user would."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from browser import folders
from fleet.report.load import load_run
from fleet.report.page import write_report

HOSTS = ("pi-1", "pi-2", "laptop", "pi-3")
EVIL = "<img src=x onerror=\"document.title='broken'\"><b>pi</b> $x^2$"
SECTIONS = ("outcome", "curves", "rounds", "where", "devices", "machines", "settings", "dataset", "versions")
FIGURES = ("accuracy", "loss", "time", "labels")

# The contrast (WCAG 2) of each element that has text of its own with the ground it stands on, and the text itself.
CONTRASTS = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
function rgba(colour) {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return Array.from(canvas.getImageData(0, 0, 1, 1).data);
}
function luminance(colour) {
  const [r, g, b] = colour.map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
function ground(element) {
  for (let at = element; at; at = at.parentElement) {
    const colour = rgba(getComputedStyle(at).backgroundColor);
    if (colour[3] == 255) return colour;
  }
  throw new Error("no ground");
}
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const words = Array.from(element.childNodes).filter(n => n.nodeType == 3).map(n => n.data.trim()).join(" ").trim();
  const inside = element.closest("svg");
  if (!words || (inside && element.tagName != "text") || !element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  found.push([words, contrast(rgba(inside ? style.fill : style.color), ground(element))]);
}
// The numbers of the heat map stand on the darkest of its cells.
const cells = Array.from(document.querySelectorAll("[id^=labels-cell-] path"));
const most = Math.max(...cells.map(cell => parseFloat(getComputedStyle(cell).opacity)));
const over = rgba(getComputedStyle(cells[0]).fill).map((c, i) => c * most + ground(cells[0])[i] * (1 - most));
found.push(["heat map", contrast(rgba(getComputedStyle(document.body).color), over)]);
// Lines need 3:1 where text needs 4.5:1.
for (const colour of ["blue", "orange"])
  for (const line of document.querySelectorAll(`#figure-loss path[clip-path][style*='${colour}']`))
    found.push(["line", 1.5 * contrast(rgba(getComputedStyle(line).stroke), ground(line))]);
return found;
"""

Open = Callable[..., Chrome]


@pytest.fixture
def show(chromium: Chrome, tmp_path: Path) -> Open:
    """Makes the report of ``tmp_path`` and opens it at a width and in a colour scheme."""

    def show(width: int = 1200, scheme: str = "light") -> Chrome:
        path = write_report(load_run(tmp_path))
        chromium.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        chromium.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        chromium.get("about:blank")
        for name in ("browser", "performance"):
            log(chromium, name)  # empties it
        chromium.get(path.as_uri())
        return chromium

    return show


def log(chrome: Chrome, name: str) -> list[dict[str, Any]]:
    """What came into one of the browser's logs since it was last read."""
    entries: list[dict[str, Any]] = chrome.get_log(name)  # type: ignore[no-untyped-call]
    return entries


def cells(chrome: Chrome, section: str) -> list[list[str]]:
    """The words of the cells of a section's table, row by row, without its head."""
    script = (
        "return Array.from(document.querySelectorAll(arguments[0] + ' tbody tr'),"
        " row => Array.from(row.cells, cell => cell.innerText.replaceAll('\\u00a0', ' ').trim()))"
    )
    rows: list[list[str]] = chrome.execute_script(script, f"#{section}")
    return rows


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_opens_and_asks_for_nothing(show: Open, tmp_path: Path) -> None:
    folders.write_results(tmp_path, HOSTS, 3)
    chrome = show()
    assert log(chrome, "browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in log(chrome, "performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [(tmp_path / "report.html").as_uri()]
    assert chrome.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") in (
        [],
        ["data:,"],
    )
    assert chrome.title.startswith("finished, 9")


def test_every_section_and_figure_is_there_to_see(show: Open, tmp_path: Path) -> None:
    folders.write_results(tmp_path, HOSTS, 3)
    chrome = show()
    sizes = chrome.execute_script(
        "return arguments[0].map(q => document.querySelector(q)?.getBoundingClientRect().toJSON())",
        [f"#{name}" for name in SECTIONS] + [f"#figure-{name} svg" for name in FIGURES],
    )
    for name, size in zip((*SECTIONS, *FIGURES), sizes, strict=True):
        assert size is not None, name
        assert size["width"] > 300, name
        assert size["height"] > 50, name
    drawn = chrome.execute_script(
        "return Array.from(document.querySelectorAll('#figure-time [id^=time-bar-] path'),"
        " p => p.getBoundingClientRect().width).filter(width => width > 0).length"
    )
    assert drawn == len(table(tmp_path / "timings.csv"))
    assert "Where the time of each device went" in chrome.execute_script(
        "return document.querySelector('#figure-time svg > title').textContent"
    )


def test_tables_hold_what_the_csv_files_hold(show: Open, tmp_path: Path) -> None:
    folders.write_run(tmp_path, folders.info(HOSTS, 4))
    folders.write_rounds(tmp_path, HOSTS, 4, failed=[(2, 1)])
    chrome = show()
    rounds = table(tmp_path / "rounds.csv")
    shown = cells(chrome, "rounds")
    assert len(shown) == 4
    for row, want in zip(shown, rounds, strict=True):
        assert row[:6] == [
            want["round"],
            f"{100 * float(want['accuracy']):.1f} %",
            f"{float(want['loss']):.3f}",
            f"{float(want['train_loss']):.3f}",
            f"{want['devices']}/{len(HOSTS)}",
            want["failures"],
        ]
        assert row[6] == f"{float(want['seconds']):.1f} s"
    replies = table(tmp_path / "devices.csv")
    for cid, row in enumerate(cells(chrome, "devices")):
        own = [reply for reply in replies if reply["cid"] == str(cid)]
        assert row[:4] == [str(cid), HOSTS[cid], f"{len(own)} of 4", str(4 - len(own))]
        assert row[4] == f"{int(own[-1]['examples']):,}"
        assert row[5] == f"{float(own[-1]['train_loss']):.3f}"
        assert row[6] == f"{100 * float(own[-1]['eval_accuracy']):.1f} %"
        assert row[7] == f"{max(float(reply['peak_memory_mb']) for reply in own):,.0f} MB"
    assert [row[0] for row in cells(chrome, "machines")] == ["server", *HOSTS]
    outcome = chrome.execute_script("return document.querySelector('.outcome strong').innerText")
    assert outcome.replace("\u00a0", " ") == f"{100 * float(rounds[-1]['accuracy']):.1f} %"


@pytest.mark.parametrize("width", [390, 768])
def test_a_narrow_window_needs_no_sideways_scrolling(show: Open, tmp_path: Path, width: int) -> None:
    hosts = (*HOSTS, "h" * 250)
    folders.write_run(tmp_path, folders.info(hosts, 3, status="failed", error="e" * 300, resumed_from="r" * 300))
    folders.write_rounds(tmp_path, hosts, 3)
    chrome = show(width)
    page = chrome.execute_script(
        "const page = document.documentElement; return [page.scrollWidth - page.clientWidth, innerWidth]"
    )
    assert page == [0, width]
    outside = chrome.execute_script(
        "return Array.from(document.querySelectorAll('svg text')).filter(t => {"
        " const box = t.getBoundingClientRect(); return box.left < 0 || box.right > innerWidth + 0.5 })"
        ".map(t => t.textContent)"
    )
    assert outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(show: Open, tmp_path: Path, scheme: str) -> None:
    folders.write_run(tmp_path, folders.info(HOSTS, 3, status="failed", error="pi-2 did not answer"))
    folders.write_rounds(tmp_path, HOSTS, 3, failed=[(2, 1)])
    chrome = show(scheme=scheme)
    ground = chrome.execute_script("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(ground) < 150) == (scheme == "dark")
    contrasts: list[tuple[str, float]] = chrome.execute_script(CONTRASTS)
    assert len([words for words, _ in contrasts if words == "line"]) >= 2
    assert len(contrasts) > 150
    assert [(words, ratio) for words, ratio in contrasts if ratio < 4.5] == []


def test_hostile_words_are_shown_as_words(show: Open, tmp_path: Path) -> None:
    hosts = (EVIL, "pi-2")
    folders.write_run(tmp_path, folders.info(hosts, 2, status="failed", error=EVIL, settings={EVIL: EVIL}))
    folders.write_rounds(tmp_path, hosts, 2)
    chrome = show()
    assert log(chrome, "browser") == []
    assert chrome.title.startswith("failed")
    assert chrome.execute_script("return document.images.length") == 0
    assert cells(chrome, "devices")[0][1] == EVIL
    assert cells(chrome, "machines")[1][0] == EVIL
    assert chrome.execute_script("return document.querySelector('#error p').innerText") == EVIL
    drawn = chrome.execute_script("return document.querySelector('#figure-time svg').textContent")
    assert EVIL[:30] in drawn


def test_print_is_light_and_whole(show: Open, tmp_path: Path) -> None:
    folders.write_results(tmp_path, HOSTS, 60)
    chrome = show(scheme="dark")
    chrome.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    try:
        assert chrome.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        heights = chrome.execute_script(
            "return Array.from(document.querySelectorAll('.scroll'), s => [s.clientHeight, s.scrollHeight])"
        )
        assert all(shown == whole for shown, whole in heights)
    finally:
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
