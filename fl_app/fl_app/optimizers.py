"""The optimizers of the devices, one entry each; the table imports no torch.

All of them are torch's fused ones, which step through all weights in one call.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer

    Build = Callable[[Iterable[Parameter], float, float], Optimizer]


def _sgd(parameters: "Iterable[Parameter]", lr: float, momentum: float) -> "Optimizer":
    from torch.optim import SGD

    return SGD(parameters, lr=lr, momentum=momentum, fused=True)


def _adam(parameters: "Iterable[Parameter]", lr: float, momentum: float) -> "Optimizer":
    from torch.optim import Adam

    return Adam(parameters, lr=lr, fused=True)


def _adamw(parameters: "Iterable[Parameter]", lr: float, momentum: float) -> "Optimizer":
    from torch.optim import AdamW

    return AdamW(parameters, lr=lr, fused=True)


# Name -> function of (parameters, learning rate, momentum); only sgd heeds the momentum.
OPTIMIZERS: "dict[str, Build]" = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}
