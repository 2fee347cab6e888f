"""The optimizers of the devices, one entry each; the tables import neither torch nor Keras.

torch's are the fused ones, which step through all weights in one call. Keras's have torch's constants.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

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


def _keras(name: str, **constants: float) -> Callable[[float, float], Any]:
    def build(lr: float, momentum: float) -> Any:
        from keras import optimizers

        return getattr(optimizers, name)(lr, **constants, **({"momentum": momentum} if name == "SGD" else {}))

    return build


# Name -> function of (learning rate, momentum).
KERAS_OPTIMIZERS = {
    "sgd": _keras("SGD"),
    "adam": _keras("Adam", epsilon=1e-8),
    "adamw": _keras("AdamW", epsilon=1e-8, weight_decay=0.01),
}
