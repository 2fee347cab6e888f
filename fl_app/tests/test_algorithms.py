"""Not-true distillation against the paper's formulas, computed image by image and class by class."""

import math
from typing import Any

import pytest
import torch

from fl_app import training
from fl_app.algorithms import ALGORITHMS, not_true_distillation
from fl_app.datasets import DATASETS
from fl_app.device_data import Split
from fl_app.inputs import Inputs
from fl_app.models import build_model
from fl_app.settings import Config

ENTRY = DATASETS["mnist5k"]


def by_hand(local: list[list[float]], sent: list[list[float]], labels: list[int], tau: float) -> float:
    """Return the mean over images of equation 3 of arXiv 2106.03097, with the probabilities of equation 4."""

    def untrue(logits: list[float], label: int) -> dict[int, float]:
        others = [c for c in range(len(logits)) if c != label]
        total = sum(math.exp(logits[c] / tau) for c in others)
        return {c: math.exp(logits[c] / tau) / total for c in others}

    losses = []
    for mine, theirs, label in zip(local, sent, labels, strict=True):
        q_local, q_global = untrue(mine, label), untrue(theirs, label)
        losses.append(-sum(q_global[c] * math.log(q_local[c] / q_global[c]) for c in q_global))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("tau", "beta"), [(1.0, 1.0), (3.0, 0.3)])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_term_is_the_papers(tau: float, beta: float, classes: int) -> None:
    draw = torch.Generator().manual_seed(classes)
    local, sent = (4 * torch.randn(6, classes, generator=draw, dtype=torch.float64) for _ in range(2))
    labels = torch.arange(6) % classes
    config = Config.of({"algorithm": "FedNTD", "tau": tau, "beta": beta})
    found = float(not_true_distillation(local, sent, labels, config))
    expected = beta * by_hand(local.tolist(), sent.tolist(), labels.tolist(), tau)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_logit_of_the_true_class_has_no_gradient() -> None:
    local, sent = torch.randn(4, 5, requires_grad=True), torch.randn(4, 5)
    labels = torch.tensor([0, 2, 4, 1])
    not_true_distillation(local, sent, labels, Config.of({})).backward()  # type: ignore[no-untyped-call]
    assert local.grad is not None
    for row, label in zip(local.grad, labels, strict=True):
        assert row[label] == 0
        assert (row != 0).sum() == 4


def a_step_of(model: torch.nn.Module, data: Split, **settings: Any) -> None:
    config = Config.of({"batch-size": len(data), "momentum": 0.0, "lr": 0.1, **settings})
    inputs = Inputs.of(model, ENTRY, config)
    training.train(model, training.ready(model, config), data, inputs, config, seed=1)


def test_steps_of_training_are_those_of_the_whole_loss_with_the_global_model_as_teacher() -> None:
    data = Split(
        torch.randint(0, 256, (24, 1, 28, 28), generator=torch.Generator().manual_seed(0)).byte(), torch.arange(24) % 4
    )
    model, other, teacher = (build_model("net", 1, 28, 10, seed=5) for _ in range(3))
    a_step_of(model, data, algorithm="FedNTD", epochs=3, beta=0.7, tau=2.0)

    # The first step's gradient is cross-entropy's alone, for the models are the same; the later ones feel the teacher.
    images = Inputs.of(other, ENTRY, Config.of({}))(data.images)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    for _ in range(3):
        logits = other(images)
        distillation = torch.zeros(())
        for mine, theirs, label in zip(logits, teacher(images).detach(), data.labels.tolist(), strict=True):
            others = [c for c in range(10) if c != label]
            q = [(z[others] / 2.0).exp() / (z[others] / 2.0).exp().sum() for z in (mine, theirs)]
            distillation = distillation - (q[1] * (q[0] / q[1]).log()).sum() / len(logits)
        loss = torch.nn.functional.cross_entropy(logits, data.labels) + 0.7 * distillation
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for (name, found), expected in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(found, expected, atol=1e-5), name


def test_a_device_forgets_less_of_the_classes_that_it_lacks() -> None:
    def left(algorithm: str) -> float:
        model = build_model("mnist_cnn", 1, 28, 10, seed=5)
        every = Split(pixels, labels)
        a_step_of(model, every, epochs=10, lr=0.03, **{"batch-size": 40})  # the global model knows all classes
        some = labels < 3
        own = Split(pixels[some], labels[some])
        a_step_of(model, own, epochs=20, lr=0.03, algorithm=algorithm, **{"batch-size": 12})
        lacked = Split(pixels[~some], labels[~some])
        return training.evaluate(model, lacked, Inputs.of(model, ENTRY, Config.of({}))).loss

    labels = torch.arange(80) % 10
    pixels = torch.zeros(80, 1, 28, 28, dtype=torch.uint8)
    for number, label in enumerate(labels):
        pixels[number, 0, :, 2 * label : 2 * label + 3] = 150 + number
    assert left("FedNTD") < 0.9 * left("plain")


def test_the_table_says_what_every_algorithm_is() -> None:
    assert ALGORITHMS["plain"].term is None
    assert all(entry.help for entry in ALGORITHMS.values())
