"""The models, one entry each; the table imports no torch, so that listing the names costs nothing.

Every builder takes the images' channels, their side in pixels and the number of classes, and returns a module
that maps a float batch of shape (batch, channels, side, side) to logits of shape (batch, classes).
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True)
class Model:
    """A model: how it is built, and one line about it."""

    build: "Callable[[int, int, int], Module]"
    help: str


def _net(channels: int, side: int, classes: int) -> "Module":
    from torch import nn

    left = _after(side, 5, 5)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 6, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * left * left, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, classes),
        )
    )


def _lenet5(channels: int, side: int, classes: int) -> "Module":
    from torch import nn

    left = _after(side, 5, 5)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 6, 5),
            norm1=nn.BatchNorm2d(6),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5),
            norm2=nn.BatchNorm2d(16),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * left * left, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            classifier=nn.Linear(84, classes),
        )
    )


def _mnist_cnn(channels: int, side: int, classes: int) -> "Module":
    from torch import nn

    left = _after(side, 3, 3)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 8, 3),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 16, 3),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            classifier=nn.Linear(16 * left * left, classes),
        )
    )


def _after(side: int, *kernels: int) -> int:
    """Return what unpadded convolutions of ``kernels``, each followed by 2x2 pooling, leave of ``side``."""
    for kernel in kernels:
        side = (side - kernel + 1) // 2
    return side


MODELS = {
    "net": Model(_net, "the small CNN of Flower's PyTorch examples: two convolutions, three linear layers"),
    "lenet5": Model(_lenet5, "LeNet-5 with batch normalisation"),
    "mnist_cnn": Model(_mnist_cnn, "two convolutions and one linear layer: for the smallest devices"),
}


def build_model(name: str, channels: int, side: int, classes: int, seed: int) -> "Module":
    """Return the model ``name`` of the table, with weights that depend on ``seed`` alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name].build(channels, side, classes)
