"""From images in memory as uint8 to what a model takes, a batch at a time. Importing this imports torch."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from fl_app.datasets import DataSet
from fl_app.initial import layout
from fl_app.models import side_of
from fl_app.settings import Config


class Inputs:
    """Brings a uint8 batch to float32 with mean 0 and deviation 1 a channel, in one multiply-add.

    ``side``: the images are resized to that many pixels. ``memory_format``: the layout that the model trains in.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        side: int,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        centre, width = (torch.tensor(v, device=device).view(1, -1, 1, 1) for v in (mean, std))
        self.scale = 1 / (255 * width)
        self.shift = -centre / width
        self.side = side
        self.memory_format = memory_format

    @classmethod
    def of(cls, model: nn.Module, entry: DataSet, config: Config) -> "Inputs":
        """Return what ``model`` takes: normalised as its weights were trained, else as the data set's images are."""
        mean, std = entry.mean, entry.std
        told = getattr(model, "pretrained_cfg", {})
        if config.weights and "mean" in told:
            mean, std = (tuple(told[key]) for key in ("mean", "std"))
            if entry.channels == 1:
                mean, std = ((sum(values) / len(values),) for values in (mean, std))
        device = next(model.parameters()).device
        return cls(mean, std, side_of(config, entry), device, layout(config.model))

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the batch (n, channels, height, width) as float32 (n, channels, side, side)."""
        pixels = batch.to(self.scale.device, torch.float32)
        if pixels.shape[-1] != self.side:
            pixels = interpolate(pixels, (self.side, self.side), mode="bilinear", align_corners=False)
        # Before the arithmetic, while a batch is in the cache.
        return torch.addcmul(self.shift, pixels.contiguous(memory_format=self.memory_format), self.scale)
