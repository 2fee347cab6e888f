"""The models, one entry each; the table imports no torch, so that listing the names costs nothing.

Every builder takes the images' channels, their side in pixels and the number of classes, and returns a module
that maps a float batch of shape (batch, channels, side, side) to logits of shape (batch, classes).
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fl_app.errors import AppError, one_line

if TYPE_CHECKING:
    from torch.nn import Module

    from fl_app.datasets import DataSet
    from fl_app.settings import Config


@dataclass(frozen=True)
class Model:
    """A model: how it is built, and one line about it.

    ``channels_last``: it trains faster with the channels as the innermost dimension; measured by
    tests/bench/training.py, for what helps one model slows another. ``timm``: its name there. ``reid``: it is for
    re-identification, and takes 0 classes, too: then it returns features.
    """

    build: "Callable[[int, int, int], Module]"
    help: str
    channels_last: bool = False
    timm: str = ""
    reid: bool = False


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
    if side < 1:
        raise ValueError("its convolutions leave nothing of them")
    return side


def _resnet8(channels: int, side: int, classes: int) -> "Module":
    from fl_app.resnet import ResNet

    return ResNet(channels, classes, (16, 32, 64), 1)


def _resnet18(channels: int, side: int, classes: int) -> "Module":
    from fl_app.resnet import ResNet

    return ResNet(channels, classes, (64, 128, 256, 512), 2)


def _of_timm(name: str, help: str) -> Model:
    def build(channels: int, side: int, classes: int) -> "Module":
        from fl_app import timm_models

        return timm_models.build(name, channels, side, classes)

    # Depthwise convolutions are what gains.
    return Model(build, help, channels_last=True, timm=name)


def _reid(backbone: Model, help: str) -> Model:
    def build(channels: int, side: int, classes: int) -> "Module":
        from fl_app.reid import ReId

        return ReId(backbone.build(channels, side, 1), classes)  # its own last layer goes

    return replace(backbone, build=build, help=help, reid=True)


MODELS = {
    "net": Model(_net, "the small CNN of Flower's PyTorch examples: two convolutions, three linear layers", True),
    "lenet5": Model(_lenet5, "LeNet-5 with batch normalisation"),
    "mnist_cnn": Model(_mnist_cnn, "two convolutions and one linear layer: for the smallest devices", True),
    "resnet8": Model(_resnet8, "ResNet-8 for 32x32 images, 78,000 parameters", True),
    "resnet18": Model(_resnet18, "ResNet-18 for 32x32 images, 11 million parameters", True),
    "mobilenet_v2": _of_timm("mobilenetv2_100", "MobileNetV2, timm's mobilenetv2_100"),
    "mobilenet_v3_small": _of_timm("mobilenetv3_small_100", "MobileNetV3 small, timm's mobilenetv3_small_100"),
    "resnet50": _reid(_of_timm("resnet50", ""), "ResNet-50 for re-identification: last stride 1, FedPAV's neck"),
}
# Any other of timm's models, as timm/NAME.
TIMM = re.compile(r"timm/([A-Za-z0-9_.]+)")
# Any of these as the backbone of a model for re-identification, as reid/NAME and reid/timm/NAME.
REID = re.compile(f"reid/({TIMM.pattern}|{'|'.join(name for name in MODELS if not MODELS[name].reid)})")


def entry_of(name: str) -> Model:
    """Return the entry of a name of the table, of timm/NAME or of reid/NAME."""
    if backbone := REID.fullmatch(name):
        return _reid(entry_of(backbone[1]), "for re-identification")
    other = TIMM.fullmatch(name)
    return _of_timm(other[1], "of timm") if other else MODELS[name]


def build_model(name: str, channels: int, side: int, classes: int, seed: int) -> "Module":
    """Return the model ``name``, with weights that depend on ``seed`` alone.

    Raises `AppError` where it cannot be built for such images.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = entry_of(name).build(channels, side, classes)
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise cannot_be_built(name, channels, side, error) from error
    return model


def cannot_be_built(name: str, channels: int, side: int, error: Exception) -> AppError:
    """Return the error of a model that does not take such images."""
    return AppError(
        f"model={name} cannot be built for images of {side}x{side} pixels and {channels} channels: "
        f"{one_line(error)[:200]}"
    )


def head_of(model: "Module") -> str:
    """Return the name of the layer that gives the logits; raises `AppError` where there is no one such layer."""
    from torch import nn

    if local := local_of(model):
        return local
    told = getattr(model, "pretrained_cfg", {}).get("classifier")
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    head = told or linear[-1]
    if not isinstance(head, str) or head not in linear:
        raise AppError(f"this model has no one linear layer in the end ({head}): finetune=head and weights need one")
    return head


def local_of(model: "Module") -> str:
    """Return the name of the layer that stays on its device (FedPAV's classifier), empty where all is shared."""
    return str(getattr(model, "local", ""))


def side_of(config: "Config", entry: "DataSet") -> int:
    """Return the side in pixels at which the model sees the images.

    It is ``image_size`` or, without it, the only one that the model takes, else the data set's.
    """
    if config.image_size:
        return config.image_size
    name = TIMM.fullmatch(config.model.removeprefix("reid/"))
    if name is not None:
        from fl_app import timm_models

        return timm_models.own_side(name[1]) or entry.side
    return entry.side
