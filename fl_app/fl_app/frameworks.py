"""The frameworks that train the models, one entry each; the table imports none of them.

A fleet has one of them. All else is the same for both: settings, data, strategies, and what a run leaves.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fl_app import keras_models
from fl_app.errors import AppError, one_line
from fl_app.optimizers import KERAS_OPTIMIZERS

if TYPE_CHECKING:
    from fl_app.datasets import DataSet
    from fl_app.learner import Learner
    from fl_app.settings import Config


@dataclass(frozen=True)
class Framework:
    """A framework: one line about it, and where its `Learner` is.

    ``only`` holds the settings of which it knows some values alone.
    """

    help: str
    module: str
    learner: str
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


FRAMEWORKS = {
    "torch": Framework("PyTorch", "fl_app.torch_learner", "TorchLearner"),
    "tensorflow": Framework(
        "TensorFlow, with Keras",
        "fl_app.keras_learner",
        "KerasLearner",
        only={
            "model": tuple(keras_models.MODELS),
            "optimizer": tuple(KERAS_OPTIMIZERS),
            "algorithm": ("plain",),
            "finetune": ("whole",),
            "weights": ("",),
        },
    ),
}
# A task of its own, which PyTorch's models alone have.
RE_ID = Framework("PyTorch, for re-identification", "fl_app.reid_learner", "ReIdLearner")


def check(config: "Config") -> None:
    """Raise `AppError` where a setting has a value that the run's framework does not know."""
    for name, allowed in FRAMEWORKS[config.framework].only.items():
        if (value := getattr(config, name)) not in allowed:
            words = f"one of {', '.join(allowed)}" if any(allowed) else "leave it out"
            raise AppError(f"{name}={value} is not allowed with framework={config.framework}: {words}")


def learner(config: "Config", entry: "DataSet", folder: Path | None, *, whole: bool, **own: Any) -> "Learner":
    """Return the model of ``config`` in its framework; ``folder`` holds the run's weights.

    ``whole``: read them though all of them will be replaced by a message's arrays. ``own`` is what a device has of its
    own for re-identification (`ReIdLearner`). Raises `AppError`.
    """
    framework = RE_ID if entry.reid else FRAMEWORKS[config.framework]
    try:
        module = importlib.import_module(framework.module)
    except ImportError as error:
        raise AppError(f"framework={config.framework} cannot be imported on this host: {one_line(error)}") from error
    made: Learner = getattr(module, framework.learner)(config, entry, folder, whole=whole, **own)
    return made
