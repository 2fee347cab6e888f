"""Weights to begin with: files of several kinds, and what becomes of them on the way to the devices."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fl_app import device_data, initial, weights
from fl_app.datasets import DATASETS
from fl_app.errors import AppError
from fl_app.models import build_model
from fl_app.prepare import main, prepare
from fl_app.settings import Config

ENTRY = DATASETS["mnist5k"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a file with the weights of a `net` for as many classes as mnist5k has."""
    path = tmp_path / "net.safetensors"
    save_file(build_model("net", 1, 28, 10, seed=9).state_dict(), path)
    return path


def written(source: Path, tmp_path: Path, model: str = "net", **settings: Any) -> dict[str, torch.Tensor]:
    weights.write(Config.of({"model": model, "weights": str(source), **settings}), ENTRY, tmp_path / "made.safetensors")
    return load_file(tmp_path / "made.safetensors")


def test_all_arrays_of_a_file_are_taken_where_the_classes_are_as_many(source: Path, tmp_path: Path) -> None:
    made, given = written(source, tmp_path), load_file(source)
    assert made.keys() == given.keys()
    assert all(torch.equal(made[name], given[name]) for name in given)


def test_the_last_layer_stays_new_where_the_classes_are_others(tmp_path: Path) -> None:
    path = tmp_path / "seven.pth"
    torch.save({"state_dict": build_model("net", 1, 28, 7, seed=9).state_dict()}, path)
    made = written(path, tmp_path)
    assert {"fc3.weight", "fc3.bias"}.isdisjoint(made)
    (tmp_path / weights.FILE).write_bytes((tmp_path / "made.safetensors").read_bytes())
    model, fresh = (build_model("net", 1, 28, 10, seed=1) for _ in range(2))
    weights.load(model, tmp_path)
    assert torch.equal(model.get_parameter("fc3.weight"), fresh.get_parameter("fc3.weight"))
    assert torch.equal(model.get_parameter("conv1.weight"), made["conv1.weight"])


def test_other_names_of_the_same_architecture_are_taken_in_order(tmp_path: Path) -> None:
    state = build_model("lenet5", 1, 28, 10, seed=9).state_dict()
    path = tmp_path / "renamed.pth"
    torch.save({f"module.{name.replace('conv', 'c')}": tensor for name, tensor in state.items()}, path)
    made = written(path, tmp_path, "lenet5")
    assert all(torch.equal(made[name], tensor) for name, tensor in state.items())


def test_weights_for_colour_images_are_summed_up_for_grey_ones(tmp_path: Path) -> None:
    colour = build_model("resnet8", 3, 28, 10, seed=9).state_dict()
    save_file(colour, tmp_path / "colour.safetensors")
    made = written(tmp_path / "colour.safetensors", tmp_path, "resnet8")
    assert torch.allclose(made["conv1.weight"], colour["conv1.weight"].sum(1, keepdim=True))


def test_a_file_of_another_model_is_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"net\.safetensors is of another model: norm1\.weight is not in it"):
        written(source, tmp_path, "lenet5")
    save_file(build_model("net", 1, 32, 10, seed=9).state_dict(), source)
    with pytest.raises(AppError, match=r"another model: fc1\.weight has shape \(120, 400\), where \(120, 256\)"):
        written(source, tmp_path)


@pytest.mark.parametrize(("name", "content"), [("w.safetensors", b"cut"), ("w.pth", b"PK\x03\x04cut"), ("w.pth", b"")])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AppError, match=rf"weights={tmp_path}/{name} is "):
        written(tmp_path / name, tmp_path)


def test_a_file_of_weights_runs_no_code(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "exploded",)

    torch.save({"w": Bomb()}, tmp_path / "w.pth")
    with pytest.raises(AppError, match="no file of weights"):
        written(tmp_path / "w.pth", tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_a_hub_that_does_not_answer_is_an_error_that_says_what_else_there_is(tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"mobilenetv3_small_100 cannot be had from timm's hub .* set weights to a file"):
        weights.write(Config.of({"model": "mobilenet_v3_small", "weights": "imagenet"}), ENTRY, tmp_path / "x")
    with pytest.raises(AppError, match="model=net has none on timm's hub"):
        weights.write(Config.of({"weights": "imagenet"}), ENTRY, tmp_path / "x")


def test_the_hubs_weights_come_without_their_last_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fl_app import timm_models

    build = timm_models.build
    asked = []

    def hub(name: str, channels: int, side: int, classes: int, pretrained: bool = False) -> torch.nn.Module:
        asked.append((name, pretrained))
        return build(name, channels, side, classes)

    monkeypatch.setattr(timm_models, "build", hub)
    config = Config.of({"model": "mobilenet_v3_small", "weights": "imagenet"})
    weights.write(config, ENTRY, tmp_path / weights.FILE)
    assert ("mobilenetv3_small_100", True) in asked
    made = load_file(tmp_path / weights.FILE)
    assert not any(name.startswith("classifier") for name in made)
    model = initial.build(config, ENTRY, tmp_path, whole=True)
    assert torch.equal(model.get_parameter("conv_stem.weight"), made["conv_stem.weight"])


def test_weights_lie_where_they_are_needed(source: Path, tmp_path: Path) -> None:
    def where(**settings: Any) -> set[str]:
        config = Config.of({"weights": str(source), **settings})
        folder = Path(prepare(config, [0, 1], [1], tmp_path / "cache")["folder"])
        return {str(path.relative_to(folder)) for path in folder.glob(f"*/{weights.FILE}")}

    assert where() == {"server/weights.safetensors"}
    # A device with images of its own gets a folder with the weights alone.
    assert where(finetune="head") == {f"{place}/weights.safetensors" for place in ("server", "0", "1")}


def test_the_key_follows_the_weights(source: Path, tmp_path: Path) -> None:
    def key(**settings: Any) -> str:
        return str(prepare(Config.of(settings), [0], [], tmp_path / "cache")["key"])

    plain, first = key(), key(weights=str(source))
    assert first == key(weights=str(source), lr=0.5)
    save_file(build_model("net", 1, 28, 10, seed=10).state_dict(), source)
    assert len({plain, first, key(weights=str(source)), key(weights=str(source), finetune="head")}) == 4


def test_weights_that_are_not_there_are_one_line_of_the_hook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"weights": "/nowhere/w.pth"}))
    assert main(["--config", str(config), "--cids", "0", "--cache", str(tmp_path / "cache")]) == 2
    assert "weights=/nowhere/w.pth cannot be read" in capsys.readouterr().err.splitlines()[-1]


def test_a_device_that_lacks_the_file_or_has_another_says_so(source: Path, tmp_path: Path) -> None:
    config = Config.of({"weights": str(source), "finetune": "head", "partition": "0123"})
    _, part = device_data.place({"partition-id": 0, "data-dir": str(tmp_path)}, config)
    with pytest.raises(AppError, match=r"0123/weights\.safetensors is not there: this run's weights were not sent"):
        initial.build(config, ENTRY, part, whole=False)

    (tmp_path / "0123").mkdir()
    (tmp_path / "0123" / weights.FILE).write_bytes(source.read_bytes())
    mine = initial.build(config, ENTRY, part, whole=False)
    initial.check_frozen(mine, initial.fingerprint(mine))
    save_file(build_model("net", 1, 28, 10, seed=10).state_dict(), tmp_path / "0123" / weights.FILE)
    with pytest.raises(AppError, match="frozen weights of this device are not the server's"):
        initial.check_frozen(initial.build(config, ENTRY, part, whole=False), initial.fingerprint(mine))
    save_file(build_model("lenet5", 1, 28, 10, seed=10).state_dict(), tmp_path / "0123" / weights.FILE)
    with pytest.raises(AppError, match=r"0123/weights\.safetensors is of another model"):
        initial.build(config, ENTRY, part, whole=False)
