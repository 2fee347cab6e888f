from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ArrayRecord, ConfigRecord

from fl_app.errors import AppError
from fl_app.recorder import Recorder
from fl_app.riding import Evaluation
from fl_app.run_folder import RunFolder
from fl_app.settings import Config
from fl_app.strategies import build
from fl_app.waiting import Wait


class Coming:
    """A grid whose nodes come one by one, each time that it is asked."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, 0

    def get_node_ids(self) -> Iterable[int]:
        self.asked += 1
        return range(min(self.asked, self.most))


def wait(grid: Any, devices: int, seconds: float) -> None:
    Wait(devices, seconds)(grid, 7)


def test_it_waits_until_enough_are_there() -> None:
    grid = Coming(3)
    wait(grid, 3, 60)
    assert grid.asked == 3


def test_it_does_not_wait_where_enough_are_there() -> None:
    grid = Coming(1)
    wait(grid, 1, 60)
    assert grid.asked == 1


def test_it_ends_where_they_do_not_come() -> None:
    with pytest.raises(AppError, match=r"^round 7: 2 of min_devices=3 devices are online after device_timeout=0\.6 s$"):
        wait(Coming(2), 3, 0.6)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_round_without_evaluation_waits_for_nobody(config: Config, tmp_path: Path, fraction: float) -> None:
    strategy = build(replace(config, fraction_evaluate=fraction, min_devices=3))
    recorder = Recorder(strategy, RunFolder(tmp_path / "run"), 1, Wait(3, 0.1), Evaluation(fraction, 3, False))
    grid: Any = Coming(2)
    if fraction:
        with pytest.raises(AppError, match="2 of min_devices=3"):
            recorder.configure_evaluate(1, ArrayRecord(), ConfigRecord(), grid)
    else:
        assert list(recorder.configure_evaluate(1, ArrayRecord(), ConfigRecord(), grid)) == []
        assert grid.asked == 0
