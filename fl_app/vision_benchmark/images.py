"""Batches of random images: made in memory, or read from the files that `image_files` wrote; imports torch."""

from collections.abc import Iterator
from pathlib import Path

import torch

from vision_benchmark.plan import Plan

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


def in_memory(plan: Plan, batch_size: int, images: int) -> Batches:
    """Yield batches without end: images of shape (batch, channels, height, width), normalised, and labels.

    ``images`` of them are kept, a byte a value, and normalised a batch at a time.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    pixels = torch.randint(0, 256, (images, *plan.input_shape), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, plan.num_classes, (images,), generator=generator)
    channels = plan.input_shape[0]
    mean = torch.tensor([MEAN[place % 3] for place in range(channels)]).view(1, -1, 1, 1)
    std = torch.tensor([STD[place % 3] for place in range(channels)]).view(1, -1, 1, 1)
    scale, shift = 1 / (255 * std), -mean / std
    while True:
        order = torch.randperm(images, generator=generator)
        for chosen in order[: images // batch_size * batch_size].view(-1, batch_size):
            yield pixels[chosen].to(torch.float32).mul_(scale).add_(shift), labels[chosen]


def in_files(plan: Plan, folder: Path, batch_size: int) -> Batches:
    """Yield batches without end, read from JPEG files and normalised an image at a time, as ImageFolder's users do."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, Grayscale, Normalize, ToTensor

    channels = plan.input_shape[0]
    steps = [ToTensor(), Normalize(MEAN[:channels], STD[:channels])]
    transform = Compose(steps if channels == 3 else [Grayscale(), *steps])
    dataset = ImageFolder(str(folder / "images"), transform=transform)
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=True)
    while True:
        yield from loader
