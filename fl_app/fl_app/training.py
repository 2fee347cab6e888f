"""Training and evaluation of a model on images that lie in memory as uint8."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from fl_app import erasing
from fl_app.algorithms import ALGORITHMS
from fl_app.device_data import Split
from fl_app.inputs import Inputs
from fl_app.learner import Score, batches, evaluation_batch, no_batch_of_one, not_finite, weights_not_finite
from fl_app.models import head_of
from fl_app.optimizers import OPTIMIZERS
from fl_app.settings import Config


def best_device() -> torch.device:
    """Return the GPU where torch can use one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def ready(model: nn.Module, config: Config) -> Optimizer:
    """Move ``model`` to the device that trains it and return its optimizer.

    Raises `AppError` where the batches are too small for the model.
    """
    if config.batch_size == 1 and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        raise no_batch_of_one(config)
    model.to(best_device())
    weights = (p for p in model.parameters() if p.requires_grad)
    return OPTIMIZERS[config.optimizer](weights, config.lr, config.momentum)


def train(
    model: nn.Module,
    optimizer: Optimizer,
    data: Split,
    inputs: Inputs,
    config: Config,
    seed: int,
    proximal_mu: float = 0.0,
) -> Score:
    """Train ``model`` in place for ``config.epochs`` passes and return its score, a mean over all steps' images.

    The loss is the cross-entropy alone. Where all but its last layer is frozen, the other layers see each image once,
    and the passes are over what they made of it. ``proximal_mu`` is FedProx's: mu/2 times the squared distance to the
    weights it starts from joins the loss (arXiv 1812.06127, equation 2). The same seed gives the same order of images.
    Raises `AppError` where the loss is no longer finite.
    """
    torch.manual_seed(seed)
    device = best_device()
    weights = [p for p in model.parameters() if p.requires_grad]
    start = [p.detach().clone() for p in weights] if proximal_mu else []
    trained, batch_of = _stage(model, data, inputs)
    term = ALGORITHMS[config.algorithm].term
    erase = erasing.of(config, seed)
    # The global model stays as it came: its logits of an image are the same in all passes, if the image is.
    teacher = _teach(trained, batch_of, len(data), evaluation_batch(inputs.side), bool(erase)) if term else None
    trained.train()
    total, right = 0.0, torch.zeros((), device=device)
    for epoch in range(1, config.epochs + 1):
        summed = torch.zeros((), device=device)
        for batch in batches(torch.randperm(len(data)), config.batch_size):
            images = erase(batch_of(batch)) if erase else batch_of(batch)
            logits, labels = trained(images), data.labels[batch].to(device)
            loss = cross_entropy(logits, labels)
            summed += loss.detach() * len(batch)
            right += (logits.detach().argmax(1) == labels).sum()
            if term and teacher is not None:
                loss = loss + term(logits, teacher(batch, images), labels, config)
            if start:
                moved = [(now - then).square().sum() for now, then in zip(weights, start, strict=True)]
                loss = loss + proximal_mu / 2 * torch.stack(moved).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()  # now, so that gradients do not lie beside the next batch's activations
        total += float(summed)
        if not math.isfinite(total):
            raise not_finite(total, epoch, config)
    if not all(torch.isfinite(p).all() for p in weights):
        raise weights_not_finite(config)
    seen = config.epochs * len(data)
    return Score(total / seen, float(right) / seen, len(data))


@torch.no_grad()
def evaluate(model: nn.Module, data: Split, inputs: Inputs) -> Score:
    """Return the model's score on ``data``; a loss that is not finite is returned as it is."""
    device = best_device()
    model.to(device).eval()
    loss, right = torch.zeros((), device=device), torch.zeros((), device=device)
    for chosen in torch.split(torch.arange(len(data)), evaluation_batch(inputs.side)):
        labels = data.labels[chosen].to(device)
        logits = model(inputs(data.images[chosen]))
        loss += cross_entropy(logits, labels, reduction="sum")
        right += (logits.argmax(1) == labels).sum()
    return Score(float(loss) / len(data), float(right) / len(data), len(data))


def _stage(model: nn.Module, data: Split, inputs: Inputs) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return what is trained, the model or its last layer, and what gives it its input for the images of some indices.

    Leaves the model in evaluation mode, in which frozen layers stay.
    """
    model.eval()
    if all(parameter.requires_grad for parameter in model.parameters()):
        return model, lambda batch: inputs(data.images[batch])
    head, seen = model.get_submodule(head_of(model)), list[Tensor]()
    hook = head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        for batch in torch.split(torch.arange(len(data)), evaluation_batch(inputs.side)):
            model(inputs(data.images[batch]))
    hook.remove()
    features = torch.cat(seen)
    return head, lambda batch: features[batch]


@torch.no_grad()
def _teach(
    model: nn.Module, batch_of: Callable[[Tensor], Tensor], images: int, size: int, differ: bool
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what gives the logits of the model as it is now, from a batch's indices and its images.

    They are computed once, unless images ``differ`` from one pass to the next.
    """
    if differ:
        frozen = copy.deepcopy(model).eval().requires_grad_(False)
        return lambda batch, seen: frozen(seen)
    every = torch.cat([model(batch_of(batch)).cpu() for batch in torch.split(torch.arange(images), size)])
    return lambda batch, seen: every[batch].to(seen.device)
