"""The benchmark's page in a real browser, opened from its file as a user would."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from browser.test_report_browser import log
from unit.benchmarks import NAMES, made, row, skipped

EVIL = "<img src=x onerror=\"document.title='broken'\">"
Open = Callable[..., Chrome]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three devices, one of which is too small for one model and was lost before the last."""
    times = {
        "resnet18": 800.0,
        "mobilenetv3_small_100": 12000.4,
        "vit_tiny_patch16_224": 90.0,
        "efficientvit_b0": 650.0,
    }
    fast = [row(name, time / 4, power_w_mean=6.2, energy_j_per_image=0.31) for name, time in times.items()]
    slow = [row(name, time) for name, time in times.items()]
    return made(tmp_path, {"orin": fast, "pi": slow, EVIL: [skipped("resnet18")]}, lost=(f"{EVIL}: not all",))


@pytest.fixture
def show(chromium: Chrome, folder: Path) -> Open:
    """Opens the page at a width and in a colour scheme."""

    def show(width: int = 1200, scheme: str = "light") -> Chrome:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        chromium.get("about:blank")
        for name in ("browser", "performance"):
            log(chromium, name)  # empties it
        chromium.get((folder / "benchmark.html").as_uri())
        return chromium

    return show


def column(chrome: Chrome, head: str) -> list[str]:
    """The words of a column of the table to sort, in the order in which they are shown."""
    script = """
    const table = document.querySelector("#table table");
    const at = Array.from(table.tHead.rows[0].cells).findIndex(cell => cell.innerText.trim() === arguments[0]);
    return Array.from(table.tBodies[0].rows, row => row.cells[at].innerText.trim());
    """
    found: list[str] = chrome.execute_script(script, head)
    return found


def test_it_opens_and_asks_for_nothing(show: Open, folder: Path) -> None:
    chrome = show()
    assert log(chrome, "browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in log(chrome, "performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [(folder / "benchmark.html").as_uri()]
    assert chrome.title == "vision benchmark, 3 devices"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_bars_and_points_have_a_colour_for_each_device(show: Open, scheme: str) -> None:
    chrome = show(scheme=scheme)
    found = chrome.execute_script("""
      const seen = (figure, gid, part) => Array.from(
        document.querySelectorAll(`#figure-${figure} [id^="${figure}-${gid}-"]`), group => {
          const drawn = group.matches("path") ? group : group.querySelector(part);
          const box = group.getBoundingClientRect();
          return [group.id.split("-").slice(-2)[0], getComputedStyle(drawn).fill, box.width, box.height];
        });
      return {bars: seen("bars", "bar", "path"), scatter: seen("scatter", "point", "use")};
    """)
    for name in ("bars", "scatter"):
        drawn = found[name]
        assert len(drawn) == 2 * len(NAMES), name
        assert all(width > 0 and height > 0 for *_, width, height in drawn)
        colours = {place: {fill for other, fill, *_ in drawn if other == place} for place in ("0", "1")}
        assert all(len(fills) == 1 for fills in colours.values()), colours
        assert colours["0"] != colours["1"]
    longest = max(found["bars"], key=lambda bar: bar[2])
    shortest = min(found["bars"], key=lambda bar: bar[2])
    assert longest[2] / shortest[2] == pytest.approx(12000.4 / (90 / 4), rel=0.2)


def test_the_table_holds_the_file_and_sorts_by_number(show: Open, folder: Path) -> None:
    chrome = show()
    with (folder / "benchmark.csv").open(newline="", encoding="utf-8") as file:
        measured = [line for line in csv.DictReader(file) if line["status"] == "ok"]
    assert column(chrome, "device") == [line["host"] for line in measured]
    shown = [float(value.replace(",", "")) for value in column(chrome, "train, ms a batch")]
    assert shown == [pytest.approx(float(line["train_ms"]), abs=0.1) for line in measured]
    (button,) = [one for one in chrome.find_elements(By.CSS_SELECTOR, "th button") if one.text.startswith("train, ms")]
    for ordered in (sorted(shown), sorted(shown, reverse=True)):
        button.click()
        assert [float(value.replace(",", "")) for value in column(chrome, "train, ms a batch")] == ordered
    (power,) = [one for one in chrome.find_elements(By.CSS_SELECTOR, "th button") if one.text.strip() == "W"]
    power.click()
    assert column(chrome, "W")[-len(NAMES) :] == ["-"] * len(NAMES)  # what is not known comes last
    power.click()
    assert column(chrome, "W")[-len(NAMES) :] == ["-"] * len(NAMES)


def test_what_was_not_measured_is_told_and_nothing_in_a_name_runs(show: Open) -> None:
    chrome = show()
    text = chrome.find_element(By.ID, "failed").text
    assert EVIL in text
    assert "takes about 6000 MB; 900 MB are free" in text
    assert f"{EVIL}: not all" in chrome.find_element(By.CSS_SELECTOR, "section.error").text
    assert chrome.find_elements(By.CSS_SELECTOR, "img") == []
    # The four models stand in the published table, for two devices, and a mean each.
    assert len(chrome.find_elements(By.CSS_SELECTOR, "#published-raspberry-pi-5 tbody tr")) == 2 * (len(NAMES) + 1)


def test_it_fits_a_telephone(show: Open) -> None:
    chrome = show(width=390)
    assert chrome.execute_script("return document.documentElement.scrollWidth") <= 390
