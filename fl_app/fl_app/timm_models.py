"""timm's models by name. Importing timm takes a second here and ten on a small board: only who asks for one pays it."""

import difflib
import sys
from typing import TYPE_CHECKING, Any

import torch

from fl_app.errors import AppError, one_line

if TYPE_CHECKING:
    from torch.nn import Module

NEAR = 3  # names to suggest for one that does not exist


def library() -> Any:
    """Import timm; raises `AppError` where it is not installed."""
    _torchvision()
    try:
        import timm
    except ImportError as error:
        raise AppError(f"this model comes from timm, which cannot be imported here: {one_line(error)}") from error
    return timm


def build(name: str, channels: int, side: int, classes: int, pretrained: bool = False) -> "Module":
    """Return timm's model ``name``; with ``pretrained`` its weights come from timm's hub, but for the last layer's.

    Raises `AppError` where timm has no such model, or it does not take such images.
    """
    timm = library()
    settings: dict[str, Any] = {"num_classes": classes, "in_chans": channels, "pretrained": pretrained}
    config = _config(timm, name)
    if config is not None and config.fixed_input_size:
        settings["img_size"] = side
    model: Module = timm.create_model(name, **settings)
    return model


def own_side(name: str) -> int:
    """Return the side of the images that ``name`` was made for, in pixels, where it takes one size alone; else 0."""
    config = _config(library(), name)
    return int(config.input_size[-1]) if config is not None and config.fixed_input_size else 0


def _config(timm: Any, name: str) -> Any:
    """Return what timm knows of the model's weights, None where it has none."""
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), NEAR)
        hint = f": did you mean {', '.join(near)}?" if near else "; timm.list_models() lists its models"
        raise AppError(f"model=timm/{name}: timm {timm.__version__} has no such model{hint}")
    return timm.get_pretrained_cfg(name)


def _torchvision() -> None:
    """Import torchvision, which timm needs, also where its compiled part is of another build than torch.

    A CPU build of torch beside PyPI's torchvision is such a pair: the compiled part wants CUDA, stays unloaded, and
    the import fails for two operators that no classifier uses.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        _LIBRARIES.append(library)  # its operators go with it
        import torchvision  # noqa: F401
    except ImportError:
        pass  # timm says itself what it lacks


_LIBRARIES: list[Any] = []
