"""A model in some framework, with what a run asks of it; the same for all of them. Importing this imports none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fl_app import storage
from fl_app.device_data import Split
from fl_app.errors import AppError
from fl_app.settings import Config

if TYPE_CHECKING:
    from torch import Tensor

Order = TypeVar("Order", NDArray[np.int64], "Tensor")
EVALUATION_PIXELS = 256 * 32 * 32  # of a batch that is not trained on: what is enough to be quick


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats) and the share of right answers, over ``examples`` images."""

    loss: float
    accuracy: float
    examples: int


class Learner(Protocol):
    """A model that is trained and evaluated on splits whose arrays are NumPy's; its own are float32."""

    def sizes(self) -> tuple[int, int]:
        """Return the number of the model's parameters, and of those that are trained."""

    def arrays(self) -> ArrayRecord:
        """Return the arrays that travel."""

    def take(self, record: ArrayRecord, where: str) -> None:
        """Load ``record``; ``where`` says in an error where it came from. Raises `AppError` for another model's."""

    def staying(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays that no message carries, by name."""

    def fingerprint(self) -> str:
        """Return a hash of those; empty where all of them travel."""

    def check_frozen(self, wanted: str) -> None:
        """Raise `AppError` where ``wanted``, the server's `fingerprint`, is not this model's."""

    def get_ready(self) -> None:
        """Do what has to be done once before training. Raises `AppError` where the settings do not fit the model."""

    def train(self, data: Split, seed: int, proximal_mu: float = 0.0) -> Score:
        """Train for the configuration's epochs; the same seed gives the same model.

        ``proximal_mu`` is FedProx's: mu/2 times the squared distance to the weights it starts from joins the loss
        (arXiv 1812.06127, equation 2). Returns a mean over all steps' images. Raises `AppError` where the loss is no
        longer finite.
        """

    def evaluate(self, data: Split) -> Score:
        """Return the score on ``data``; a loss that is not finite is returned as it is."""

    def validate(self, data: Split) -> dict[str, float]:
        """Return what a device says of its validation split: ``num-examples`` and what is averaged by them."""
        score = self.evaluate(data)
        return {"num-examples": score.examples, "eval_loss": score.loss, "eval_accuracy": score.accuracy}

    def tester(self, part: Path) -> Callable[[], Mapping[str, float]]:
        """Return what scores the model on the server's test set, which is in ``part``. Raises `AppError`."""
        images = Split(*storage.read(part))

        def scores() -> Mapping[str, float]:
            result = self.evaluate(images)
            return {"loss": result.loss, "accuracy": result.accuracy}

        return scores

    def recall(self, number: int) -> None:
        """Take up what stays on this device from before round ``number``, where something does."""

    def keep(self, number: int) -> None:
        """Keep what stays on this device after round ``number``, where something does."""


def evaluation_batch(side: int) -> int:
    """Return how many images of ``side`` pixels go through a model at a time where nothing is trained."""
    return max(EVALUATION_PIXELS // side**2, 8)


def batches(order: Order, size: int) -> list[Order]:
    """Return ``order`` in pieces of ``size``; a last one of a single image joins the one before.

    Batch normalisation takes no single value.
    """
    starts: list[int] = list(range(0, len(order), size))
    if len(starts) > 1 and len(order) - starts[-1] == 1 and size > 1:
        del starts[-1]
    return [order[start:end] for start, end in zip(starts, [*starts[1:], len(order)], strict=True)]


def not_finite(total: float, epoch: int, config: Config) -> AppError:
    """Return the error of a loss that is no number."""
    return AppError(
        f"the training loss is {total} after epoch {epoch} (model={config.model} "
        f"optimizer={config.optimizer} lr={config.lr:g}): a lower lr may help"
    )


def weights_not_finite(config: Config) -> AppError:
    """Return the error of weights that are no numbers, though the loss before the last step was one."""
    return AppError(f"the weights are no longer finite after the last step (lr={config.lr:g}): a lower lr may help")


def no_batch_of_one(config: Config) -> AppError:
    """Return the error of batch normalisation over one image."""
    return AppError(f"model={config.model} has batch normalisation, which cannot train with batch_size=1: take 2")
