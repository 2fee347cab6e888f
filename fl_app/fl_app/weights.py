"""The weights that a run begins with: found and fitted to the model once, where the parts are made.

They travel as a file beside the data, ``weights.safetensors``: all arrays of the model that the weights could give,
the last layer's only where it has as many classes. The server begins with them, and devices read the arrays that
stay frozen, which no message carries.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fl_app.datasets import DataSet
from fl_app.errors import AppError, one_line
from fl_app.models import build_model, entry_of, head_of, side_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fl_app.settings import Config

FILE = "weights.safetensors"
HUB = "imagenet"
BACKBONE = "backbone."  # how the names begin of a model for re-identification, but for its neck and its classifier


def shaped_by(config: "Config") -> dict[str, Any]:
    """Return what the file depends on beside the data set's shape; nothing where a run begins without weights.

    Raises `AppError` where the file that ``weights`` names is not there.
    """
    if not config.weights:
        return {}
    content = HUB
    if config.weights != HUB:
        try:
            with Path(config.weights).expanduser().open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise AppError(f"weights={config.weights} cannot be read: {one_line(error)}") from error
    return {"model": config.model, "finetune": config.finetune, "weights": content, "image_size": config.image_size}


def write(config: "Config", entry: DataSet, path: Path) -> None:
    """Write the arrays that ``weights`` gives the model to ``path``. Imports torch. Raises `AppError`."""
    from safetensors.torch import save_file

    side = side_of(config, entry)
    model = build_model(config.model, entry.channels, side, len(entry.classes), config.seed)
    taken = _hub(config, entry, side) if config.weights == HUB else _file(config, model)
    save_file({name: tensor.contiguous() for name, tensor in taken.items()}, path)


def load(model: "nn.Module", folder: Path) -> None:
    """Load the file in ``folder`` into ``model``; raises `AppError` where it is absent or another model's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / FILE
    try:
        absent, unknown = model.load_state_dict(load_file(path), strict=False)
    except FileNotFoundError:
        raise AppError(f"{path} is not there: this run's weights were not sent to this host") from None
    except (OSError, SafetensorError, RuntimeError) as error:
        raise AppError(f"{path} does not fit the model: {one_line(error)[:200]}") from error
    if wrong := [*unknown, *(name for name in absent if not name.startswith(_fresh(model)))]:
        raise AppError(f"{path} is of another model: {wrong[0]}")


def _fresh(model: "nn.Module") -> tuple[str, ...]:
    """Return how the names begin of what weights from elsewhere need not give."""
    fresh: tuple[str, ...] = getattr(model, "fresh", None) or (f"{head_of(model)}.",)
    return fresh


def _hub(config: "Config", entry: DataSet, side: int) -> "dict[str, Tensor]":
    from fl_app import timm_models

    name = entry_of(config.model).timm
    if not name:
        raise AppError(f"weights={HUB}: model={config.model} has none on timm's hub; name a model of timm's or a file")
    try:
        model = timm_models.build(name, entry.channels, side, len(entry.classes) or 1, pretrained=True)
    except AppError:
        raise
    except Exception as error:  # what timm, its hub and HTTP raise
        raise AppError(
            f"weights={HUB}: the weights of {name} cannot be had from timm's hub ({one_line(error)[:160]}): "
            "set weights to a file that holds them"
        ) from error
    head = head_of(model)
    prefix = BACKBONE if entry_of(config.model).reid else ""
    return {prefix + key: tensor for key, tensor in model.state_dict().items() if not key.startswith(f"{head}.")}


def _file(config: "Config", model: "nn.Module") -> "dict[str, Tensor]":
    """Return the arrays of the file that ``weights`` names, by the model's names.

    They go by name or, where a file has other names for the same architecture, by their order, all shapes being the
    same. Weights of a first layer for colour images are summed up for grey ones.
    """
    path = Path(config.weights).expanduser()
    found = given = read(path)
    wanted = model.state_dict()
    if entry_of(config.model).reid and not any(name.startswith(BACKBONE) for name in given):
        found = given = {BACKBONE + name: array for name, array in given.items()}  # of the backbone alone
    body = [name for name in wanted if not name.startswith(_fresh(model))]
    if not set(body) <= given.keys():
        given = _in_order(given, wanted, body)
        if not given:
            lacking = next(name for name in body if name not in found)
            raise AppError(
                f"weights={path} is of another model: {lacking} is not in it, nor do all shapes fit in order"
            )
    taken = {}
    for name, tensor in wanted.items():
        if name not in given:
            continue
        array = given[name]
        if array.ndim == 4 and array.shape[1] == 3 and tensor.shape[1] == 1:
            array = array.sum(1, keepdim=True)
        if array.shape == tensor.shape:
            taken[name] = array.to(tensor.dtype)
        elif name in body:
            shapes = f"has shape {tuple(array.shape)}, where {tuple(tensor.shape)} is needed"
            raise AppError(f"weights={path} is of another model: {name} {shapes}")
    return taken


def _in_order(given: "dict[str, Tensor]", wanted: "Mapping[str, Tensor]", body: Sequence[str]) -> "dict[str, Tensor]":
    """Return ``given`` by the names of ``wanted``, with the last layer or without it; empty where the shapes differ.

    The counters of batch normalisation are missing in old files. The first layer may be for another number of channels.
    """
    counters = [name for name in wanted if name.endswith("num_batches_tracked")]
    for names in (list(wanted), list(body)):
        for chosen in (names, [name for name in names if name not in counters]):
            pairs = list(zip(chosen, given.values(), strict=False))
            if len(chosen) == len(given) and all(
                tensor.shape == wanted[name].shape for name, tensor in pairs[1:] if name in body
            ):
                return dict(pairs)
    return {}


def read(path: Path) -> "dict[str, Tensor]":
    """Return the arrays of a .safetensors file or of a checkpoint of torch's, in the file's order. Runs no code."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise AppError(f"weights={path} is damaged: {one_line(error)}") from error
    except Exception as error:  # what zipfile, pickle and torch raise
        raise AppError(f"weights={path} is no file of weights that torch reads: {one_line(error)[:160]}") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise AppError(f"weights={path} holds no table of arrays by name")
    return dict(content)
