from typing import Any

import pytest
import torch

from fl_app import training
from fl_app.datasets import DATASETS
from fl_app.device_data import Split
from fl_app.errors import AppError
from fl_app.inputs import Inputs
from fl_app.learner import Score, batches, evaluation_batch
from fl_app.models import build_model
from fl_app.optimizers import OPTIMIZERS
from fl_app.settings import Config

ENTRY = DATASETS["mnist5k"]
SMALL = ("net", "lenet5", "mnist_cnn")


def inputs_of(network: torch.nn.Module, **settings: Any) -> Inputs:
    return Inputs.of(network, ENTRY, Config.of(settings))


def bars(images: int = 256) -> Split:
    """Return images with a white column at a place that tells the class."""
    labels = torch.arange(images) % 10
    pixels = torch.randint(0, 60, (images, 1, 28, 28), generator=torch.Generator().manual_seed(0)).byte()
    for image, label in zip(pixels, labels, strict=True):
        image[0, :, 2 + 2 * label : 4 + 2 * label] = 255
    return Split(pixels, labels)


def model_of(seed: int = 0, name: str = "net") -> torch.nn.Module:
    return build_model(name, 1, 28, 10, seed)


def trained(seed: int = 1, mu: float = 0.0, **settings: Any) -> tuple[torch.nn.Module, Score]:
    model = model_of(name=settings.get("model", "net"))
    config = Config.of(settings)
    optimizer = training.ready(model, config)
    return model, training.train(model, optimizer, bars(), inputs_of(model, **settings), config, seed, mu)


def score(model: torch.nn.Module) -> Score:
    return training.evaluate(model, bars(), inputs_of(model))


def distance(model: torch.nn.Module) -> float:
    now, then = (torch.nn.utils.parameters_to_vector(m.parameters()) for m in (model, model_of()))
    return float((now - then).detach().norm())


def test_the_seed_alone_decides_the_initial_weights() -> None:
    torch.manual_seed(5)
    first = model_of(3).state_dict()
    torch.manual_seed(6)
    second = model_of(3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], model_of(4).state_dict()["conv1.weight"])


@pytest.mark.parametrize("name", SMALL)
def test_training_learns(name: str) -> None:
    model, _ = trained(model=name, epochs=5)
    before = score(model_of(name=name))
    after = score(model)
    assert before.accuracy < 0.5
    assert after.accuracy > 0.95
    assert after.loss < before.loss / 4


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns(name: str) -> None:
    model, _ = trained(optimizer=name, epochs=5, lr=0.03 if name == "sgd" else 0.003)
    assert score(model).accuracy > 0.95


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, second, other = (torch.nn.utils.parameters_to_vector(trained(seed)[0].parameters()) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_score_that_is_returned_is_the_mean_over_the_steps() -> None:
    # With a learning rate that changes nothing, it is the score of the model as it came.
    _, found = trained(lr=1e-12)
    expected = score(model_of())
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert found.accuracy == pytest.approx(expected.accuracy)
    assert found.examples == 256


def test_the_proximal_term_is_mu_times_the_distance_in_the_gradient() -> None:
    # Two steps of plain SGD on the whole split: the first starts at distance 0, the second feels the term.
    settings: dict[str, Any] = {"epochs": 2, "batch-size": 256, "momentum": 0.0, "lr": 0.1}
    plain, _ = trained(**settings)
    once, _ = trained(**{**settings, "epochs": 1})
    near, _ = trained(mu=2.0, **settings)
    for name, start in model_of().named_parameters():
        moved = dict(once.named_parameters())[name] - start
        expected = dict(plain.named_parameters())[name] - 0.1 * 2.0 * moved
        assert torch.allclose(dict(near.named_parameters())[name], expected, atol=1e-5), name
    assert distance(near) < distance(plain)


def test_a_loss_that_is_no_number_is_an_error_that_names_the_learning_rate() -> None:
    with pytest.raises(AppError, match=r"loss is (nan|inf).* lr=1e\+06"):
        trained(lr=1e6, epochs=2)


def test_normalisation_is_that_of_the_table() -> None:
    entry = DATASETS["cifar10"]
    batch = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (entry.mean, entry.std))
    expected = (batch.float() / 255 - mean) / std
    inputs = Inputs(entry.mean, entry.std, 32, torch.device("cpu"), torch.channels_last)
    assert torch.allclose(inputs(batch), expected, atol=1e-5)
    assert inputs(batch).is_contiguous(memory_format=torch.channels_last)


def test_images_are_brought_to_the_side_that_the_model_sees() -> None:
    batch = torch.full((2, 1, 28, 28), 255, dtype=torch.uint8)
    made = inputs_of(model_of(), **{"image-size": 40})(batch)
    assert made.shape == (2, 1, 40, 40)
    assert torch.allclose(made, torch.tensor((1 - ENTRY.mean[0]) / ENTRY.std[0]), rtol=1e-4)


@pytest.mark.parametrize(("images", "sizes"), [(64, [32, 32]), (65, [32, 33]), (66, [32, 32, 2]), (1, [1])])
def test_no_batch_of_a_single_image_is_left_over(images: int, sizes: list[int]) -> None:
    pieces = list(batches(torch.randperm(images), 32))
    assert [len(piece) for piece in pieces] == sizes
    assert sorted(torch.cat(pieces).tolist()) == list(range(images))


def test_a_batch_of_one_is_refused_where_batch_normalisation_would_fail() -> None:
    with pytest.raises(AppError, match="model=lenet5 has batch normalisation"):
        training.ready(model_of(name="lenet5"), Config.of({"batch-size": 1, "model": "lenet5"}))
    training.ready(model_of(), Config.of({"batch-size": 1}))


def test_evaluation_weighs_every_image_the_same() -> None:
    data = bars(evaluation_batch(28) + 3)
    model = model_of().eval()
    with torch.no_grad():
        logits = model(inputs_of(model)(data.images))
    found = training.evaluate(model, data, inputs_of(model))
    assert found.examples == len(data)
    assert found.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, data.labels)), rel=1e-5)
    assert found.accuracy == pytest.approx(float((logits.argmax(1) == data.labels).float().mean()))
