"""The model for re-identification, what is erased from its images, and which settings go with it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fl_app import erasing, initial, training, weights
from fl_app.datasets import DATASETS
from fl_app.device_data import Split
from fl_app.errors import AppError
from fl_app.inputs import Inputs
from fl_app.learner import Score
from fl_app.models import build_model
from fl_app.settings import Config
from fl_app.sightings import Sightings, read_folder

from .small_data import write_veri_folder

REID = {"dataset": "mnist5k_reid", "model": "reid/net", "algorithm": "FedPAV"}
ENTRY = DATASETS["mnist5k_reid"]


def test_resnet50_is_the_papers() -> None:
    with torch.device("meta"):
        model = build_model("resnet50", 3, 256, 575, seed=0)
    body = sum(p.numel() for name, p in model.named_parameters() if name.startswith("backbone."))
    assert body == 25_557_032 - 2048 * 1000 - 1000  # torchvision's ResNet-50 without its last layer
    assert model.get_submodule("neck.reduce").weight.shape == (512, 2048)
    assert model.get_submodule("classifier").weight.shape == (575, 512)
    assert isinstance(model.get_submodule("neck.norm"), nn.BatchNorm1d)
    seen: list[torch.Size] = []
    model.get_submodule("backbone.layer4").register_forward_hook(lambda _, given, out: seen.append(out.shape))
    with torch.device("meta"):
        assert model.eval()(torch.empty(2, 3, 256, 256)).shape == (2, 575)
    assert seen == [(2, 2048, 16, 16)]  # with the usual last stride it would be 8 by 8


@pytest.mark.parametrize("name", ["reid/resnet8", "reid/lenet5", "reid/timm/test_resnet", "reid/timm/test_vit2"])
def test_any_other_model_may_be_the_backbone(name: str) -> None:
    side = 64 if "vit" in name else 28
    model = build_model(name, 1, side, 7, seed=0).eval()
    images = torch.randn(3, 1, side, side)
    assert model(images).shape == (3, 7)
    server = build_model(name, 1, side, 0, seed=0).eval()
    assert server(images).shape == (3, 512)
    # What travels is the same for all, whatever identities a device has.
    assert initial.travelling(model) == initial.travelling(server) == list(server.state_dict())
    assert set(model.state_dict()) - set(server.state_dict()) == {"classifier.weight", "classifier.bias"}
    assert initial.fingerprint(model) == initial.fingerprint(server) == ""


@pytest.mark.parametrize("of", ["net", "reid/net"])
def test_weights_are_a_backbones_or_those_of_an_earlier_run(tmp_path: Path, of: str) -> None:
    given = build_model(of, 1, 28, 0 if of.startswith("reid") else 10, seed=9).state_dict()
    save_file(given, tmp_path / "given.safetensors")
    config = Config.of({**REID, "weights": str(tmp_path / "given.safetensors")})
    weights.write(config, ENTRY, tmp_path / weights.FILE)
    model = initial.build(config, ENTRY, tmp_path, whole=True)
    found = model.state_dict()
    prefix = "" if of.startswith("reid") else "backbone."
    taken = [name for name in given if prefix + name in found]
    assert len(taken) == len(given) - (0 if of.startswith("reid") else 2)
    assert all(torch.equal(found[prefix + name], given[name]) for name in taken)


def test_erasing_blanks_a_rectangle_of_the_chosen_share_and_follows_its_seed() -> None:
    config = Config.of({**REID, "random-erasing": 0.4})
    erase, again, other = (erasing.of(config, seed) for seed in (1, 1, 2))
    assert erase
    assert again
    assert other
    blank = [erase(torch.ones(500, 1, 28, 28)) == 0 for erase in (erase, again, other)]
    assert torch.equal(blank[0], blank[1])
    assert not torch.equal(blank[0], blank[2])
    areas = blank[0].flatten(1).double().mean(1)
    assert 0.33 < (areas > 0).double().mean() < 0.47
    assert areas[areas > 0].min() > 0.01
    assert areas.max() < 0.45
    for image in blank[0][:50, 0]:
        rows, columns = image.any(1), image.any(0)
        assert image.sum() == rows.sum() * columns.sum()
    assert erasing.of(Config.of({**REID, "random-erasing": 0.0}), 1) is None
    assert erasing.of(Config.of({}), 1) is None


def test_the_teacher_of_fedpav_ntd_sees_the_erased_images() -> None:
    data = Split(torch.randint(0, 256, (32, 1, 28, 28)).byte(), torch.arange(32) % 4)

    def trained(algorithm: str) -> tuple[Score, torch.Tensor]:
        config = Config.of({**REID, "algorithm": algorithm, "epochs": 2, "beta": 5.0})
        model = build_model("reid/net", 1, 28, 4, seed=3)
        nn.init.normal_(model.get_parameter("classifier.weight"))
        score = training.train(
            model, training.ready(model, config), data, Inputs.of(model, ENTRY, config), config, seed=1
        )
        return score, model.state_dict()["backbone.conv1.weight"]

    (plain, alone), (distilled, held) = trained("FedPAV"), trained("FedPAV-NTD")
    assert plain.loss > 0
    assert distilled.loss > 0
    assert not torch.equal(alone, held)
    assert torch.isfinite(held).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dataset": "mnist5k_reid"}, ["dataset=mnist5k_reid is for re-identification, model=net is not", "resnet50"]),
        ({"algorithm": "FedPAV"}, ["algorithm=FedPAV is for re-identification, dataset=mnist5k is not", "veri776"]),
        ({**REID, "algorithm": "FedNTD"}, ["algorithm=FedNTD is not", "FedPAV or FedPAV-NTD"]),
        ({"partitioner": "camera"}, ["partitioner=camera needs a data set with cameras", "veri776"]),
        ({**REID, "finetune": "head", "weights": "x.pth"}, ["finetune=head", "nothing is shared"]),
        ({**REID, "model": "reid/nope"}, ["model='reid/nope'", "reid/NAME"]),
        ({**REID, "random-erasing": 1.5}, ["random_erasing=1.5", "at most 1"]),
    ],
)
def test_settings_that_do_not_go_together_are_named(given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(AppError) as error:
        Config.of(given)
    for word in words:
        assert word in str(error.value)


def test_a_devices_own_images_are_named_as_veri776s(tmp_path: Path) -> None:
    write_veri_folder(tmp_path)
    found = read_folder(tmp_path / "image_train", DATASETS["veri776"])
    assert isinstance(found, Sightings)
    assert found.images.shape == (108, 3, 128, 128)
    assert (set(found.labels.tolist()), set(found.cameras.tolist())) == (set(range(1, 10)), {1, 2, 3, 4})
    (tmp_path / "empty").mkdir()
    for folder, words in (("none", "is no folder"), ("empty", "holds no images"), ("VeRi", "is no folder")):
        with pytest.raises(AppError, match=words):
            read_folder(tmp_path / folder, DATASETS["veri776"])
    with pytest.raises(AppError, match=r"name_query\.txt is not named <vehicle>_c<camera>"):
        read_folder(tmp_path, DATASETS["veri776"])
