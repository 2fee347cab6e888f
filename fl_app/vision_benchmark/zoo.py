"""Models of timm, built and looked at; imports torch."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def _declare_missing_operators() -> None:
    """Let torchvision be imported beside a torch whose CUDA libraries its compiled part misses.

    Its package of the ordinary index is built for CUDA. Beside a CPU build of torch its operators do not load, and its
    import fails where it registers what ``torchvision::nms`` returns. No model here calls that.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        _KEPT.append(library)


_KEPT: list[torch.library.Library] = []  # an operator goes with the library that declared it
_declare_missing_operators()

import timm  # noqa: E402 (imports torchvision)


def known(name: str) -> bool:
    """Say whether timm has this model."""
    return bool(timm.is_model(name))


def names() -> list[str]:
    """Return the names of all models of timm."""
    return list(timm.list_models())


def default_weights(name: str) -> str:
    """Return the name, with their tag, of the weights that timm takes for a model; empty where it has none."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.url or config.hf_hub_id):
        return ""
    return f"{config.architecture}.{config.tag}" if config.tag else str(config.architecture)


def create(name: str, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Return a model with random weights for images of ``input_shape`` (channels, height, width).

    Raises whatever timm raises where the model does not take such images.
    """
    channels, height, width = input_shape
    options: dict[str, Any] = {"num_classes": classes}
    if channels != 3:
        options["in_chans"] = channels
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size and tuple(config.input_size[1:]) != (height, width):
        options["img_size"] = (height, width)
    model: nn.Module = timm.create_model(name, **options)
    return model


def head_parameters(model: nn.Module, prefixes: Iterable[str]) -> list[nn.Parameter]:
    """Return the parameters of the modules named ``prefixes``; without names, of timm's classifier.

    Raises ValueError where there are none.
    """
    wanted = tuple(prefixes)
    if wanted:
        found = [
            parameter
            for name, parameter in model.named_parameters()
            if any(name == prefix or name.startswith(f"{prefix}.") for prefix in wanted)
        ]
    else:
        classifier = model.get_classifier()  # type: ignore[operator]
        parts = classifier if isinstance(classifier, tuple) else (classifier,)
        found = [parameter for part in parts for parameter in part.parameters()]
    if not found:
        raise ValueError(f"no parameters in {', '.join(wanted) or 'its classifier'}")
    return found
