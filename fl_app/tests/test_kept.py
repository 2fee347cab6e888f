"""The classifier that stays on its device."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fl_app import initial
from fl_app.errors import AppError
from fl_app.kept import RUNS, Kept
from fl_app.models import build_model


def model_with(identities: int, value: float) -> nn.Module:
    model = build_model("reid/net", 1, 28, identities, seed=1)
    with torch.no_grad():
        for name in initial.local(model):
            model.state_dict()[name].fill_(value)
    return model


def kept_on(tmp_path: Path, first_run: str = "7", cid: int = 0, identities: tuple[int, ...] = (3, 5, 8)) -> Kept:
    return Kept(tmp_path, first_run, cid, torch.tensor(identities))


def values(kept: Kept, number: int, identities: int = 3) -> list[float]:
    model = model_with(identities, -1.0)
    kept.give(model, number)
    bias = model.state_dict()["classifier.bias"]
    assert torch.equal(model.state_dict()["classifier.weight"], bias[:, None].expand(-1, 512))
    found: list[float] = bias.tolist()
    return found


def test_a_round_begins_with_what_the_round_before_it_left(tmp_path: Path) -> None:
    kept = kept_on(tmp_path)
    assert values(kept, 1) == [-1.0] * 3
    for number in (1, 2, 4):
        kept.keep(model_with(3, float(number)), number)
    assert values(kept_on(tmp_path), 5) == [4.0] * 3
    # The server was away in round 4, which is trained again.
    assert values(kept, 4) == [2.0] * 3
    assert sorted(path.name for path in (tmp_path / "7").iterdir()) == ["0-2.safetensors", "0-4.safetensors"]


def test_devices_of_one_machine_and_other_runs_have_their_own(tmp_path: Path) -> None:
    kept_on(tmp_path).keep(model_with(3, 1.0), 1)
    kept_on(tmp_path, cid=10).keep(model_with(3, 2.0), 1)
    assert values(kept_on(tmp_path), 2) == [1.0] * 3
    assert values(kept_on(tmp_path, first_run="8"), 2) == [-1.0] * 3


def test_an_identity_that_is_new_begins_anew_and_the_others_stay(tmp_path: Path) -> None:
    kept_on(tmp_path).keep(model_with(3, 1.0), 1)
    assert values(kept_on(tmp_path, identities=(1, 3, 8, 9)), 2, identities=4) == [-1.0, 1.0, 1.0, -1.0]


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    kept_on(tmp_path).keep(model_with(3, 1.0), 1)
    path = tmp_path / "7" / "0-1.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(AppError, match=r"7/0-1\.safetensors is damaged or of another model"):
        kept_on(tmp_path).give(model_with(3, 0.0), 2)


def test_old_runs_go(tmp_path: Path) -> None:
    for run in range(RUNS + 3):
        kept_on(tmp_path, first_run=str(run)).keep(model_with(3, 1.0), 1)
    assert len(list(tmp_path.iterdir())) == RUNS
    assert (tmp_path / str(RUNS + 2)).is_dir()
