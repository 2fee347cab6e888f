"""The model that a run begins with: built, with its weights, and frozen where only the last layer is trained."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import eager_torch
from fl_app import weights
from fl_app.datasets import DataSet
from fl_app.errors import AppError
from fl_app.models import build_model, entry_of, head_of, local_of, side_of
from fl_app.settings import Config

eager_torch.without_compiler()  # before timm, torchvision or an optimizer imports it


def build(config: Config, entry: DataSet, folder: Path | None, *, whole: bool, classes: int | None = None) -> nn.Module:
    """Return the model of ``config``; ``folder`` holds the run's weights.

    ``whole``: read them though all of them will be replaced by a message's arrays. ``classes``: where they are not the
    data set's, but a device's own. Raises `AppError`.
    """
    side = side_of(config, entry)
    outputs = len(entry.classes) if classes is None else classes
    model = build_model(config.model, entry.channels, side, outputs, config.seed)
    if config.weights and folder is not None and (whole or config.finetune == "head"):
        weights.load(model, folder)
    if config.finetune == "head":
        freeze(model)
    return laid_out(model, layout(config.model))


def laid_out(model: nn.Module, memory_format: torch.memory_format) -> nn.Module:
    """Bring the model's arrays of four dimensions into ``memory_format``; the model stays the same."""
    return model.to(memory_format=memory_format)  # type: ignore[call-overload, no-any-return]


def layout(name: str) -> torch.memory_format:
    """Return the memory layout in which the model ``name`` trains fastest."""
    return torch.channels_last if entry_of(name).channels_last else torch.contiguous_format


def freeze(model: nn.Module) -> None:
    """Leave only the last layer to be trained."""
    model.requires_grad_(False)
    model.get_submodule(head_of(model)).requires_grad_(True)


def travelling(model: nn.Module) -> list[str]:
    """Return the names of the arrays that messages carry: all, or the trained ones where others are frozen.

    Frozen layers keep the statistics of their batch normalisation, too. What is a device's own never travels.
    """
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    frozen = any(not parameter.requires_grad for parameter in model.parameters())
    own = set(local(model))
    return [name for name in (trained if frozen else model.state_dict()) if name not in own]


def local(model: nn.Module) -> list[str]:
    """Return the names of the arrays that are a device's own."""
    layer = local_of(model)
    return [name for name in model.state_dict() if layer and name.startswith(f"{layer}.")]


def staying(model: nn.Module) -> dict[str, NDArray[np.generic]]:
    """Return the arrays that no message carries and all devices have alike, by name."""
    moving = {*travelling(model), *local(model)}
    return {name: t.detach().cpu().contiguous().numpy() for name, t in model.state_dict().items() if name not in moving}


def fingerprint(model: nn.Module) -> str:
    """Return a hash of the arrays that no message carries; empty where all of them travel."""
    arrays = staying(model)
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest() if arrays else ""


def check_frozen(model: nn.Module, wanted: str) -> None:
    """Raise `AppError` where the frozen arrays are not those of the server, whose fingerprint is ``wanted``."""
    if fingerprint(model) != wanted:
        raise AppError(
            "the frozen weights of this device are not the server's: the part that was sent to it is of another run, "
            "or its versions of torch and timm build another model"
        )
