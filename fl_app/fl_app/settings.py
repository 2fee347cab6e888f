"""What users can set: ``python -m fl_app.settings`` prints the schema of the settings as JSON.

Defaults, and with them the types, stand in ``[tool.flwr.app.config]`` of the app's pyproject.toml. This
module says what a setting means and which values it takes, checks a run configuration against that, and gives
it types. It imports neither torch nor Flower, so that it answers at once.
"""

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fl_app import frameworks, reid_settings
from fl_app.algorithms import ALGORITHMS
from fl_app.datasets import DATASETS
from fl_app.errors import AppError
from fl_app.models import MODELS, REID, TIMM
from fl_app.optimizers import OPTIMIZERS
from fl_app.partition import PARTITIONERS
from fl_app.strategies import NOT_FOR_ARRAYS, STRATEGIES

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


@dataclass(frozen=True)
class Setting:
    """A setting's meaning and its allowed values; bounds and ``choices`` that are None do not apply.

    A text that matches ``pattern`` is allowed beside the ``choices``; ``says`` puts the pattern into words.
    """

    name: str
    help: str
    min: float | None = None
    max: float | None = None
    exclusive_min: bool = False
    choices: tuple[str, ...] | None = None
    pattern: str | None = None
    says: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)  # value -> why it is not allowed

    @property
    def key(self) -> str:
        """The setting's key in the run configuration."""
        return self.name.replace("_", "-")


SETTINGS = (
    Setting("rounds", "federated rounds in all; a resumed run goes on up to this number", min=1),
    Setting(
        "min_devices",
        "devices that must be online before a round starts; it waits for them up to device_timeout",
        min=1,
    ),
    Setting(
        "min_train_devices", "devices that train in a round at least, whatever fraction_train makes of them", min=1
    ),
    Setting(
        "device_timeout",
        "seconds that a round waits for min_devices, after which the run ends",
        min=0,
        exclusive_min=True,
    ),
    Setting(
        "fraction_train",
        "fraction of the online devices that train in a round",
        min=0,
        max=1,
        exclusive_min=True,
    ),
    Setting(
        "fraction_evaluate",
        "fraction of the online devices that evaluate the model on their own validation split; 0 leaves it out",
        min=0,
        max=1,
    ),
    Setting(
        "evaluation",
        "when devices evaluate a round's model: with_training, in the next round before they train on it, so that it "
        "is sent once; or after_training, in messages of their own, as where fraction_evaluate is above fraction_train",
        choices=("with_training", "after_training"),
    ),
    Setting(
        "round_timeout",
        "seconds after which a round goes on without the devices that have not answered",
        min=0,
        exclusive_min=True,
    ),
    Setting(
        "strategy",
        "Flower strategy, by its name in flwr.serverapp.strategy",
        choices=tuple(STRATEGIES),
        refused=NOT_FOR_ARRAYS,
    ),
    Setting("strategy_config", "parameters of the strategy's constructor, as 'key=value key=value'"),
    Setting(
        "framework",
        "what trains, PyTorch or TensorFlow: provision.yml installs one of them on server and devices; tensorflow has "
        f"{', '.join(frameworks.FRAMEWORKS['tensorflow'].only['model'])}, trained whole and from random weights",
        choices=tuple(frameworks.FRAMEWORKS),
    ),
    Setting(
        "model",
        "model to train",
        choices=tuple(MODELS),
        pattern=f"{TIMM.pattern}|{REID.pattern}",
        says="or timm/NAME, any model of timm's, or reid/NAME, any of these for re-identification",
    ),
    Setting(
        "weights",
        "weights to begin with: imagenet is timm's hub, else a file on the controller (.safetensors, .pth); "
        "empty: random ones, by the seed",
    ),
    Setting(
        "finetune",
        "what is trained: the whole model, or its last layer (head), which alone then travels; head needs weights",
        choices=("whole", "head"),
    ),
    Setting(
        "image_size",
        "side in pixels at which the model sees the images; 0: the data set's, or the only one that the model takes",
        min=0,
        max=1024,
    ),
    Setting("algorithm", "what devices add to the loss, beside what the strategy does", choices=tuple(ALGORITHMS)),
    Setting("tau", "temperature of algorithm=FedNTD and FedPAV-NTD", min=0, exclusive_min=True),
    Setting("beta", "weight of the distillation in algorithm=FedNTD and FedPAV-NTD", min=0),
    Setting(
        "random_erasing", "re-identification: share of the training images that get a blank rectangle", min=0, max=1
    ),
    Setting("epochs", "passes over its training split that a device makes in a round", min=1),
    Setting("batch_size", "images in a training step", min=1),
    Setting("lr", "learning rate on the devices", min=0, exclusive_min=True),
    Setting("optimizer", "optimizer on the devices", choices=tuple(OPTIMIZERS)),
    Setting("momentum", "momentum of the sgd optimizer", min=0, max=1),
    Setting(
        "dataset",
        "data set to train on",
        choices=tuple(DATASETS),
        refused={"random": "made-up images teach nothing; they are for the benchmark alone"},
    ),
    Setting(
        "data_folder",
        "folder on the controller that holds the data set's original files, or for imagefolder a folder a class; "
        "empty: look in the usual places, then download",
    ),
    Setting(
        "partitioner",
        "how the training images are divided among the devices; camera is for re-identification",
        choices=tuple(PARTITIONERS),
    ),
    Setting(
        "alpha",
        "concentration of partitioner=dirichlet; the smaller, the more the devices differ",
        min=0,
        exclusive_min=True,
    ),
    Setting(
        "classes_per_device",
        "classes of a device for partitioner=pathological and class_share, shards for partitioner=shard",
        min=1,
    ),
    Setting(
        "class_share",
        "share of a class's images that goes to the devices that have it, for partitioner=class_share; the others get "
        "the rest",
        min=0,
        max=1,
    ),
    Setting(
        "validation_fraction",
        "fraction of its images, or for re-identification of its identities, that a device keeps for evaluation",
        min=0,
        max=0.5,
        exclusive_min=True,
    ),
    Setting("seed", "seed of the partition, of the initial model and of training", min=0, max=2**32 - 1),
)


@dataclass(frozen=True)
class Config:
    """A checked run configuration; the fields are the settings above."""

    rounds: int
    min_devices: int
    min_train_devices: int
    device_timeout: float
    fraction_train: float
    fraction_evaluate: float
    evaluation: str
    round_timeout: float
    strategy: str
    strategy_config: str
    framework: str
    model: str
    weights: str
    finetune: str
    image_size: int
    algorithm: str
    tau: float
    beta: float
    random_erasing: float
    epochs: int
    batch_size: int
    lr: float
    optimizer: str
    momentum: float
    dataset: str
    data_folder: str
    partitioner: str
    alpha: float
    classes_per_device: int
    class_share: float
    validation_fraction: float
    seed: int
    partition: str
    classes: str
    resume_from: str
    continue_from: str

    @classmethod
    def of(cls, run_config: Mapping[str, Any]) -> "Config":
        """Check ``run_config`` (dash keys, as in ``context.run_config``) and return it with types.

        Keys that are absent take their defaults. Raises `AppError` for a value that is not allowed and for a
        key that is no setting.
        """
        own = defaults()
        values = own | dict(run_config)
        known = {one.name.replace("_", "-") for one in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise AppError(f"run configuration: {unknown[0]!r} is no setting of this app")
        checked = {setting.key: _check(setting, values[setting.key], type(own[setting.key])) for setting in SETTINGS}
        config = cls(**{key.replace("-", "_"): value for key, value in (values | checked).items()})
        frameworks.check(config)
        reid_settings.check(config)
        if config.finetune == "head" and not config.weights:
            raise AppError("finetune=head trains the last layer alone: set weights for the others")
        if config.min_train_devices > config.min_devices:
            raise AppError(
                f"min_train_devices={config.min_train_devices} is more than min_devices={config.min_devices}, which a "
                "round waits for"
            )
        return config


def defaults() -> dict[str, Any]:
    """Return the default run configuration, from pyproject.toml."""
    with PYPROJECT.open("rb") as file:
        config: dict[str, Any] = tomllib.load(file)["tool"]["flwr"]["app"]["config"]
    return config


def schema() -> list[dict[str, Any]]:
    """Return the settings as JSON-ready dictionaries, in the order of the table."""
    values = defaults()
    return [
        {
            "name": setting.name,
            "type": type(values[setting.key]).__name__,
            "default": values[setting.key],
            "min": setting.min,
            "max": setting.max,
            "exclusive_min": setting.exclusive_min,
            "choices": list(setting.choices) if setting.choices else None,
            "pattern": setting.pattern,
            "says": _listed(setting) if setting.says else "",
            "help": setting.help,
        }
        for setting in SETTINGS
    ]


def _check(setting: Setting, value: Any, wanted: type) -> Any:
    if wanted is float and type(value) is int:
        value = float(value)
    wrong = type(value) is not wanted
    if not wrong and isinstance(value, int | float):
        low, high = setting.min, setting.max
        wrong = (
            not math.isfinite(value)
            or (low is not None and (value < low or (setting.exclusive_min and value == low)))
            or (high is not None and value > high)
        )
    matches = setting.pattern is not None and not wrong and re.fullmatch(setting.pattern, str(value)) is not None
    if wrong or (setting.choices is not None and value not in setting.choices and not matches):
        why = f" ({setting.refused[value]})" if value in setting.refused else ""
        raise AppError(f"{setting.name}={value!r} is not allowed{why}: {_allowed(setting, wanted.__name__)}")
    return value


def _listed(setting: Setting) -> str:
    return ", ".join([*(setting.choices or ()), *([setting.says] if setting.says else [])])


def _allowed(setting: Setting, kind: str) -> str:
    if setting.choices is not None:
        return f"one of {_listed(setting)}"
    bounds = []
    if setting.min is not None:
        bounds.append(f"{'above' if setting.exclusive_min else 'at least'} {setting.min:g}")
    if setting.max is not None:
        bounds.append(f"at most {setting.max:g}")
    return " ".join([kind, " and ".join(bounds)]).strip()


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
