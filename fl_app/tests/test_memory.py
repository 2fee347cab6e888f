import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from fl_app import memory
from fl_app.errors import AppError
from fl_app.settings import Config


def test_it_is_measured_once(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = memory.needed_mb(config, tmp_path)
    assert small is not None
    assert 250 < small - memory.SERVICES_MB < 1000  # importing torch alone takes most of it
    (kept,) = tmp_path.iterdir()
    assert json.loads(kept.read_text()) == small - memory.SERVICES_MB
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it is measured again"))
    assert memory.needed_mb(config, tmp_path) == small
    assert memory.needed_mb(replace(config, lr=0.5, seed=7), tmp_path) == small


def test_a_large_batch_takes_more(config: Config, tmp_path: Path) -> None:
    small, large = (memory.needed_mb(replace(config, batch_size=size), tmp_path) for size in (8, 20_000))
    assert small is not None
    assert large is not None
    assert large > small + 100


def test_a_model_that_does_not_take_the_images_is_an_error(config: Config, tmp_path: Path) -> None:
    with pytest.raises(AppError, match="model=net cannot be built for images of 4x4 pixels"):
        memory.needed_mb(replace(config, image_size=4), tmp_path)


def test_what_cannot_be_measured_is_not_known(config: Config, tmp_path: Path) -> None:
    assert memory.needed_mb(replace(config, model="none"), tmp_path) is None
    assert list(tmp_path.iterdir()) == []
