"""What devices add to the cross-entropy, one entry each; the table imports no torch.

A term of the loss compares the model in training with the global model that the device was sent. What a strategy adds
on the devices (FedProx) is the strategy's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fl_app.settings import Config

    # (logits, the global model's logits, labels, settings) -> what joins the loss
    Term = Callable[[Tensor, Tensor, Tensor, Config], Tensor]


@dataclass(frozen=True)
class Algorithm:
    """An algorithm of the devices: one line about it, and its term of the loss, if it has one.

    ``partial``: a part of the model, the classifier, stays on the device, and the rest is averaged.
    """

    help: str
    term: "Term | None" = None
    partial: bool = False


def not_true_distillation(logits: "Tensor", teacher: "Tensor", labels: "Tensor", config: "Config") -> "Tensor":
    """Return beta times the not-true distillation loss (arXiv 2106.03097, equations 3 and 4), a batch's mean.

    ``logits`` and ``teacher`` have shape (n, classes), ``labels`` (n,). It is the Kullback-Leibler divergence from the
    global model's to the model's softmax at temperature tau, both over the classes that an image does not belong to.
    """
    import torch
    from torch.nn.functional import kl_div, log_softmax

    n, classes = logits.shape
    untrue = torch.ones_like(logits, dtype=torch.bool).scatter_(1, labels.unsqueeze(1), False)
    mine, theirs = (log_softmax(z[untrue].view(n, classes - 1) / config.tau, 1) for z in (logits, teacher))
    return config.beta * kl_div(mine, theirs, reduction="batchmean", log_target=True)


ALGORITHMS = {
    "plain": Algorithm("cross-entropy alone"),
    "FedNTD": Algorithm("not-true distillation from the global model (arXiv 2106.03097)", not_true_distillation),
    "FedPAV": Algorithm("re-identification: the classifier stays on its device (arXiv 2008.11560)", partial=True),
    "FedPAV-NTD": Algorithm("FedPAV with FedNTD's term", not_true_distillation, partial=True),
}
