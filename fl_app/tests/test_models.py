import subprocess
import sys
from typing import Any

import pytest
import torch

from fl_app import arrays, initial, training
from fl_app.datasets import DATASETS
from fl_app.device_data import Split
from fl_app.errors import AppError
from fl_app.inputs import Inputs
from fl_app.models import MODELS, build_model, head_of, side_of
from fl_app.settings import PYPROJECT, Config


def frozen(name: str) -> torch.nn.Module:
    model = build_model(name, 1, 28, 10, seed=1)
    initial.freeze(model)
    return model


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32)])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_every_size_of_image(name: str, channels: int, side: int) -> None:
    assert build_model(name, channels, side, 7, 0)(torch.zeros(2, channels, side, side)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("net", 62_006),  # Flower's example counts as many
        ("resnet8", 78_042),
        ("resnet18", 11_173_962),  # the widely used ResNet-18 for CIFAR-10 has as many
        ("mobilenet_v2", 2_236_682),
        ("mobilenet_v3_small", 1_528_106),
    ],
)
def test_a_model_has_the_size_that_it_is_known_for(name: str, parameters: int) -> None:
    assert sum(p.numel() for p in build_model(name, 3, 32, 10, 0).parameters()) == parameters


@pytest.mark.parametrize("name", ["resnet8", "mobilenet_v3_small"])
def test_a_step_of_a_larger_model_lowers_the_loss_of_its_batch(name: str) -> None:
    config = Config.of({"model": name, "batch-size": 8, "epochs": 2, "lr": 0.001, "optimizer": "adam"})
    entry = DATASETS["cifar10"]
    pixels = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = Split(pixels, torch.arange(8))
    model = initial.build(config, entry, None, whole=True)
    inputs = Inputs.of(model, entry, config)
    optimizer = training.ready(model, config)
    first = training.train(model, optimizer, data, inputs, Config.of({**config_of(config), "epochs": 1}), 0)
    last = training.train(model, optimizer, data, inputs, config, 0)
    assert last.loss < first.loss


def config_of(config: Config) -> dict[str, Any]:
    return {"model": config.model, "batch-size": config.batch_size, "lr": config.lr, "optimizer": config.optimizer}


def test_the_memory_layout_changes_no_result() -> None:
    model = build_model("mobilenet_v3_small", 3, 32, 10, 0).eval()
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)
        initial.laid_out(model, initial.layout("mobilenet_v3_small"))
        assert not model.get_submodule("conv_stem").weight.is_contiguous()  # type: ignore[operator]
        assert torch.allclose(model(images), expected, atol=1e-4)
    # What travels is laid out as ever.
    assert all(array.numpy().flags.c_contiguous for array in arrays.from_model(model).values())


def test_any_model_of_timm_is_built_by_its_name_for_the_images_that_it_takes(config: Config) -> None:
    name = "timm/vit_tiny_patch16_224"
    entry = DATASETS["cifar10"]
    assert side_of(Config.of({"model": name}), entry) == 224
    assert side_of(Config.of({"model": name, "image-size": 48}), entry) == 48
    assert side_of(Config.of({"model": "timm/resnet10t"}), entry) == 32
    model = build_model(name, 3, 48, 10, 0)
    assert head_of(model) == "head"
    assert model(torch.zeros(2, 3, 48, 48)).shape == (2, 10)


def test_a_model_that_timm_does_not_have_is_named_with_those_that_are_near() -> None:
    with pytest.raises(AppError, match=r"model=timm/vit_tinny_patch16_224: .* did you mean vit_tiny_patch16_224"):
        build_model("timm/vit_tinny_patch16_224", 3, 32, 10, 0)


def test_images_that_a_model_does_not_take_are_named() -> None:
    with pytest.raises(AppError, match="model=net cannot be built for images of 8x8 pixels"):
        build_model("net", 3, 8, 10, 0)


def test_a_model_with_two_last_layers_cannot_have_one_trained() -> None:
    with pytest.raises(AppError, match="no one linear layer"):
        head_of(build_model("timm/deit_tiny_distilled_patch16_224", 3, 32, 10, 0))


@pytest.mark.parametrize(("name", "inputs"), [("net", 84), ("resnet8", 64), ("mobilenet_v3_small", 1024)])
def test_of_a_frozen_model_only_the_last_layer_travels(name: str, inputs: int) -> None:
    record = arrays.from_model(frozen(name))
    head = head_of(frozen(name))
    assert sorted(record) == [f"{head}.bias", f"{head}.weight"]
    numbers = 4 * (inputs * 10 + 10)
    header = 128  # of NumPy's file format, for each array
    assert numbers < arrays.count_bytes(record) <= numbers + 2 * header
    whole = arrays.count_bytes(arrays.from_model(build_model(name, 1, 28, 10, seed=1)))
    assert whole > 20 * arrays.count_bytes(record)


def test_the_arrays_of_a_whole_model_are_refused_by_a_frozen_one() -> None:
    whole = arrays.from_model(build_model("net", 1, 28, 10, seed=1))
    with pytest.raises(AppError, match=r"the test does not hold the arrays of this model: they differ in conv1\.bias"):
        arrays.into_model(whole, frozen("net"), "the test")


def test_training_the_head_changes_nothing_else_and_equals_training_it_within_the_model() -> None:
    config = Config.of({"model": "lenet5", "epochs": 2, "batch-size": 16, "momentum": 0.0})
    entry = DATASETS["mnist5k"]
    data = Split(torch.randint(0, 256, (64, 1, 28, 28)).byte(), torch.arange(64) % 10)
    model, other = frozen("lenet5"), frozen("lenet5")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = Inputs.of(model, entry, config)
    training.train(model, training.ready(model, config), data, inputs, config, seed=3)

    # The same by hand: forward and backward through the whole model, whose other layers are frozen.
    torch.manual_seed(3)
    other.eval()
    optimizer = torch.optim.SGD(other.get_submodule("classifier").parameters(), lr=config.lr)
    for _ in range(2):
        for batch in torch.split(torch.randperm(64), 16):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(other(inputs(data.images[batch])), data.labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, other.state_dict()[name], atol=1e-5), name
        assert torch.equal(tensor, before[name]) == (not name.startswith("classifier.")), name


def test_listing_the_models_and_building_a_small_one_imports_no_timm() -> None:
    code = (
        "import sys; from fl_app.models import MODELS, build_model; from fl_app import initial, work;"
        "build_model('resnet8', 1, 28, 10, 0); sys.exit(bool({'timm', 'torchvision'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PYPROJECT.parent).returncode == 0
