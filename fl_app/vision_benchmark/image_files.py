"""Random JPEG files on the device's own disk, as torchvision's ImageFolder reads them; imports no torch."""

import random
import shutil
from pathlib import Path

from vision_benchmark.plan import Plan

READY = "ready"


def write_files(plan: Plan, folder: Path) -> None:
    """Write random JPEGs for torchvision's ImageFolder, a folder a class and an image in each; once."""
    if (folder / READY).exists():
        return
    import numpy as np
    from PIL import Image

    shutil.rmtree(folder, ignore_errors=True)
    numbers, dice = np.random.default_rng(plan.seed), random.Random(plan.seed)
    labels = [*range(plan.num_classes)]
    labels += [dice.randrange(plan.num_classes) for _ in range(plan.num_images - plan.num_classes)]
    channels, height, width = plan.input_shape
    for place, label in enumerate(labels):
        of_class = folder / "images" / f"class-{label:05d}"
        of_class.mkdir(parents=True, exist_ok=True)
        pixels = numbers.integers(0, 256, (height, width, channels), dtype=np.uint8)
        Image.fromarray(pixels if channels == 3 else pixels[:, :, 0]).save(of_class / f"{place}.jpeg")
    (folder / READY).touch()
