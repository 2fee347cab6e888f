"""Training with Keras, where TensorFlow is installed: tests/integration/test_tensorflow.py runs it in such a place."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="it is not installed beside torch")

from flwr.app import Array, ArrayRecord

from fl_app import frameworks
from fl_app.datasets import DATASETS
from fl_app.device_data import Split
from fl_app.errors import AppError
from fl_app.learner import Learner, Score
from fl_app.optimizers import KERAS_OPTIMIZERS
from fl_app.settings import PYPROJECT, Config

ENTRY = DATASETS["mnist5k"]


def bars(images: int = 256) -> Split:
    """Return images with a white column at a place that tells the class."""
    labels = np.arange(images) % 10
    pixels = np.random.default_rng(0).integers(0, 60, (images, 1, 28, 28), np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[0, :, 2 + 2 * label : 4 + 2 * label] = 255
    return Split(pixels, labels)


def made(**settings: Any) -> Learner:
    config = Config.of({"framework": "tensorflow", "model": "mnist_cnn", **settings})
    return frameworks.learner(config, ENTRY, None, whole=True)


def trained(seed: int = 1, mu: float = 0.0, **settings: Any) -> tuple[dict[str, Any], Score]:
    """Return the arrays after training, and the score that it returned."""
    learner = made(**settings)
    learner.get_ready()
    score = learner.train(bars(), seed, mu)
    return arrays(learner), score


def arrays(learner: Learner) -> dict[str, Any]:
    return {name: array.numpy() for name, array in learner.arrays().items()}


@pytest.mark.parametrize("name", ["net", "mnist_cnn"])
def test_training_learns(name: str) -> None:
    learner = made(model=name, epochs=5)
    learner.get_ready()
    before = learner.evaluate(bars())
    learner.train(bars(), 1)
    after = learner.evaluate(bars())
    assert before.accuracy < 0.5
    assert after.accuracy > 0.95
    assert after.loss < before.loss / 4


@pytest.mark.parametrize("name", KERAS_OPTIMIZERS)
def test_every_optimizer_learns(name: str) -> None:
    learner = made(optimizer=name, epochs=5, lr=0.03 if name == "sgd" else 0.003)
    learner.get_ready()
    learner.train(bars(), 1)
    assert learner.evaluate(bars()).accuracy > 0.95


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, second, other = (trained(seed)[0] for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_another_process_comes_to_the_same_weights() -> None:
    code = f"import runpy; print(runpy.run_path({__file__!r})['fingerprint']())"
    done = subprocess.run([sys.executable, "-c", code], cwd=PYPROJECT.parent, capture_output=True, text=True)
    assert done.stdout.split()[-1:] == [fingerprint()], done.stderr


def fingerprint() -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in trained()[0].values())).hexdigest()


def test_the_score_that_is_returned_is_the_mean_over_the_steps() -> None:
    # With a learning rate that changes nothing, it is the score of the model as it came.
    _, found = trained(lr=1e-12)
    expected = made().evaluate(bars())
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert found.accuracy == pytest.approx(expected.accuracy)
    assert found.examples == 256


def test_the_proximal_term_is_mu_times_the_distance_in_the_gradient() -> None:
    # Two steps of plain SGD on the whole split: the first starts at distance 0, the second feels the term.
    settings: dict[str, Any] = {"epochs": 2, "batch-size": 256, "momentum": 0.0, "lr": 0.1}
    start, plain, near = arrays(made()), trained(**settings)[0], trained(mu=2.0, **settings)[0]
    once = trained(**{**settings, "epochs": 1})[0]
    for name in start:
        expected = plain[name] - 0.1 * 2.0 * (once[name] - start[name])
        np.testing.assert_allclose(near[name], expected, atol=1e-5, err_msg=name)


def test_it_computes_what_torch_computes() -> None:
    # The logits of a linear layer on the pixels, by hand: normalised as the table says, cross-entropy in nats.
    learner, data = made(), bars(40)
    record = {name: np.zeros_like(array) for name, array in arrays(learner).items()}
    record["mnist_cnn/classifier/bias"] = np.arange(10, dtype=np.float32)
    learner.take(ArrayRecord({name: Array(array) for name, array in record.items()}), "the test")
    logits = np.arange(10.0)
    expected = np.mean([np.log(np.exp(logits).sum()) - logits[label] for label in data.labels])
    assert learner.evaluate(data).loss == pytest.approx(expected, rel=1e-5)
    assert learner.evaluate(data).accuracy == pytest.approx(0.1)


def test_images_are_normalised_as_the_table_says_and_brought_to_the_side_that_the_model_sees() -> None:
    learner: Any = made(**{"image-size": 40})
    seen = learner._inputs(np.full((2, 28, 28, 1), 255, np.uint8)).numpy()
    assert seen.shape == (2, 40, 40, 1)
    np.testing.assert_allclose(seen, (1 - ENTRY.mean[0]) / ENTRY.std[0], rtol=1e-4)


def test_a_loss_that_is_no_number_is_an_error_that_names_the_learning_rate() -> None:
    with pytest.raises(AppError, match=r"(loss is (nan|inf)|no longer finite).*lr=1e\+20"):
        trained(lr=1e20, epochs=2)


def test_arrays_of_another_model_are_named() -> None:
    with pytest.raises(
        AppError, match=r"the test does not hold the arrays of this model: .* mnist_cnn/classifier/bias"
    ):
        made().take(made(model="net").arrays(), "the test")


class TestMobileNet:
    """MobileNetV2 is built for CIFAR-10's images; one batch of it shows what the small models do not have."""

    def test_has_the_size_that_it_is_known_for_and_its_statistics_travel(self) -> None:
        config = Config.of({"framework": "tensorflow", "model": "mobilenet_v2"})
        learner = frameworks.learner(config, DATASETS["cifar10"], None, whole=True)
        assert learner.sizes() == (2_236_682, 2_236_682)  # timm's has as many
        record = arrays(learner)
        moved = {name: -array if name.endswith("moving_variance") else array for name, array in record.items()}
        learner.take(ArrayRecord({name: Array(array) for name, array in moved.items()}), "the test")
        assert (arrays(learner)["bn_Conv1/moving_variance"] == 0).all()  # and not below

    def test_images_that_are_too_small_are_refused(self) -> None:
        with pytest.raises(AppError, match="model=mobilenet_v2 cannot be built for images of 28x28 pixels"):
            made(model="mobilenet_v2")

    def test_a_batch_of_one_is_refused(self) -> None:
        learner = made(model="mobilenet_v2", **{"batch-size": 1, "image-size": 32})
        with pytest.raises(AppError, match="model=mobilenet_v2 has batch normalisation"):
            learner.get_ready()
