"""Training and evaluation of a model on images that lie in memory as uint8."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from fl_app.datasets import DataSet
from fl_app.device_data import Split
from fl_app.errors import AppError
from fl_app.optimizers import OPTIMIZERS
from fl_app.settings import Config

EVALUATION_BATCH = 256


class Normalise:
    """Brings a uint8 batch to float32 with mean 0 and deviation 1 a channel, in one multiply-add."""

    def __init__(self, entry: DataSet, device: torch.device) -> None:
        mean, std = (torch.tensor(v, device=device).view(1, -1, 1, 1) for v in (entry.mean, entry.std))
        self.scale = 1 / (255 * std)
        self.shift = -mean / std

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the normalised batch, of the same shape (n, channels, side, side)."""
        return torch.addcmul(self.shift, batch.to(self.scale.device, torch.float32), self.scale)


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats) and the share of right answers, over ``examples`` images."""

    loss: float
    accuracy: float
    examples: int


def best_device() -> torch.device:
    """Return the GPU where torch can use one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def ready(model: nn.Module, config: Config) -> Optimizer:
    """Move ``model`` to the device that trains it and return its optimizer.

    It is a step of its own because the first optimizer of a process makes torch import its compiler, which takes
    about as long as importing torch.
    """
    model.to(best_device())
    weights = (p for p in model.parameters() if p.requires_grad)
    return OPTIMIZERS[config.optimizer](weights, config.lr, config.momentum)


def train(
    model: nn.Module,
    optimizer: Optimizer,
    data: Split,
    entry: DataSet,
    config: Config,
    seed: int,
    proximal_mu: float = 0.0,
) -> float:
    """Train ``model`` in place for ``config.epochs`` passes and return the mean loss over all steps' images.

    ``proximal_mu`` is FedProx's: mu/2 times the squared distance to the weights it starts from joins the loss
    (arXiv 1812.06127, equation 2). The same seed gives the same order of images. Raises `AppError` where the
    loss is no longer finite.
    """
    torch.manual_seed(seed)
    device = best_device()
    model.train()
    normalise = Normalise(entry, device)
    weights = [p for p in model.parameters() if p.requires_grad]
    start = [p.detach().clone() for p in weights] if proximal_mu else []
    total = 0.0
    for epoch in range(1, config.epochs + 1):
        summed = torch.zeros((), device=device)
        for batch in torch.split(torch.randperm(len(data)), config.batch_size):
            loss = cross_entropy(model(normalise(data.images[batch])), data.labels[batch].to(device))
            summed += loss.detach() * len(batch)
            if start:
                moved = [(now - then).square().sum() for now, then in zip(weights, start, strict=True)]
                loss = loss + proximal_mu / 2 * torch.stack(moved).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        total += float(summed)
        if not math.isfinite(total):
            raise AppError(
                f"the training loss is {total} after epoch {epoch} (model={config.model} "
                f"optimizer={config.optimizer} lr={config.lr:g}): a lower lr may help"
            )
    if not all(torch.isfinite(p).all() for p in weights):
        raise AppError(f"the weights are no longer finite after the last step (lr={config.lr:g}): a lower lr may help")
    return total / (config.epochs * len(data))


@torch.no_grad()
def evaluate(model: nn.Module, data: Split, entry: DataSet) -> Score:
    """Return the model's score on ``data``; a loss that is not finite is returned as it is."""
    device = best_device()
    model.to(device).eval()
    normalise = Normalise(entry, device)
    loss, right = torch.zeros((), device=device), torch.zeros((), device=device)
    for start in range(0, len(data), EVALUATION_BATCH):
        chosen = slice(start, start + EVALUATION_BATCH)
        labels = data.labels[chosen].to(device)
        logits = model(normalise(data.images[chosen]))
        loss += cross_entropy(logits, labels, reduction="sum")
        right += (logits.argmax(1) == labels).sum()
    return Score(float(loss) / len(data), float(right) / len(data), len(data))
