"""How much memory a measurement takes, and how much there is."""

import os
from pathlib import Path

from vision_benchmark.plan import Model, Plan

# Python with torch, torchvision and timm, before any model (torch 2.13: 340 MB), and its threads; what kernels keep
# beside the tensors (measured: 1.1 with depthwise convolutions and transformers, 1.35 with ResNet's).
BASE_MB = 450
SPARE = 1.3
MEMINFO = Path("/proc/meminfo")


def needed_mb(model: Model, plan: Plan, batch_size: int) -> int:
    """Return about how many MB (10^6 bytes) the process that measures a model takes at its peak."""
    pixels = plan.input_shape[0] * plan.input_shape[1] * plan.input_shape[2]
    images = kept_images(plan, batch_size) * pixels / 1e6 if plan.dataset == "in_memory" else 0.0
    batch = batch_size * pixels * 4 / 1e6
    weights = model.parameters * 4
    trains = "train" in plan.tasks
    # What evaluation and the head alone hold at once is a part of all layers' activations.
    activations = batch_size * model.activation_mb * (1.0 if trains else 0.35)
    return round(BASE_MB + images + SPARE * (weights * (2 if trains else 1) + 2 * batch + activations))


def kept_images(plan: Plan, batch_size: int) -> int:
    """Return how many images are made: no more than the steps look at, and a batch at least."""
    return max(batch_size, min(plan.num_images, plan.steps * batch_size))


def available_mb(share: float) -> int:
    """Return the MB that a new process may take here without swapping, or the ``share`` of them that is a device's."""
    try:
        lines = MEMINFO.read_text(encoding="utf-8").splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
        return round(kib * 1024 * share / 1e6)
    except (OSError, StopIteration):  # macOS
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * share / 1e6)


def largest_batch(model: Model, plan: Plan, available: int) -> int:
    """Return the largest power of two that fits and is no more than the images; 0 where not even one image fits."""
    size = 1 << plan.num_images.bit_length() - 1
    while size and needed_mb(model, plan, size) > available:
        size //= 2
    return size
