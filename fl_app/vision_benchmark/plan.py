"""What is to be measured on a device, and how: the content of ``plan.json``."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = "plan.json"
TASKS = ("train", "finetune", "evaluate")


@dataclass(frozen=True)
class Model:
    """A model of timm, with what is known of it before it is built.

    ``parameters`` are millions, ``gmacs`` 10^9 multiply-accumulates of a forward pass of one image, and
    ``activation_mb`` the MB (10^6 bytes) that an image leaves in memory between the forward and the backward pass.
    ``head`` are the modules that fine-tuning trains; empty: timm's classifier.
    """

    name: str
    parameters: float
    gmacs: float
    activation_mb: float
    head: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    ``batch_size`` 0 is the largest that fits. ``threads`` and ``share`` (of the memory) are the device's own: several
    devices on one machine divide it among them. ``choose`` leaves out models that do not fit instead of skipping them
    with a row.
    """

    models: tuple[Model, ...]
    tasks: tuple[str, ...] = TASKS
    steps: int = 20
    batch_size: int = 16
    dataset: str = "in_memory"
    input_shape: tuple[int, int, int] = (3, 224, 224)
    num_classes: int = 1000
    num_images: int = 1000
    memory_format: str = "auto"
    seed: int = 42
    threads: int = 1
    share: float = 1.0
    choose: bool = False

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read a plan."""
        content: dict[str, Any] = json.loads(text)
        content["models"] = tuple(Model(**{**entry, "head": tuple(entry["head"])}) for entry in content["models"])
        content["tasks"], content["input_shape"] = tuple(content["tasks"]), tuple(content["input_shape"])
        return cls(**content)

    @classmethod
    def load(cls, folder: Path) -> "Plan":
        """Read the plan of a folder."""
        return cls.from_json((folder / FILE).read_text(encoding="utf-8"))

    def to_json(self) -> str:
        """Return the plan as text."""
        return json.dumps(asdict(self))
