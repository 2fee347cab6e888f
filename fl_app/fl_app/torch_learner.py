"""PyTorch's models. Importing this imports torch."""

from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fl_app import arrays, host, initial, training
from fl_app.datasets import DataSet
from fl_app.device_data import Split
from fl_app.inputs import Inputs
from fl_app.learner import Learner, Score
from fl_app.settings import Config


class TorchLearner(Learner):
    """A torch module, what brings images into its form, and its optimizer."""

    def __init__(
        self, config: Config, entry: DataSet, folder: Path | None, *, whole: bool, classes: int | None = None
    ) -> None:
        """Build the model; see `initial.build`."""
        torch.set_num_threads(host.threads())
        self.config = config
        self.model = initial.build(config, entry, folder, whole=whole, classes=classes).to(training.best_device())
        self.inputs = Inputs.of(self.model, entry, config)

    def sizes(self) -> tuple[int, int]:
        """Return the number of all parameters and of the trained ones."""
        parameters = list(self.model.parameters())
        return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)

    def arrays(self) -> ArrayRecord:
        """Return the arrays that travel."""
        return arrays.from_model(self.model)

    def take(self, record: ArrayRecord, where: str) -> None:
        """Load ``record``, which came from ``where``."""
        arrays.into_model(record, self.model, where)

    def staying(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays that stay."""
        return initial.staying(self.model)

    def fingerprint(self) -> str:
        """Return their hash."""
        return initial.fingerprint(self.model)

    def check_frozen(self, wanted: str) -> None:
        """Compare it with the server's."""
        initial.check_frozen(self.model, wanted)

    def get_ready(self) -> None:
        """Make the optimizer, for which torch imports its compiler."""
        self.optimizer = training.ready(self.model, self.config)

    def train(self, data: Split, seed: int, proximal_mu: float = 0.0) -> Score:
        """Train the model; see `training.train`."""
        return training.train(
            self.model, self.optimizer, _tensors(data), self.inputs, self.config, seed=seed, proximal_mu=proximal_mu
        )

    def evaluate(self, data: Split) -> Score:
        """Evaluate the model; see `training.evaluate`."""
        return training.evaluate(self.model, _tensors(data), self.inputs)


def _tensors(data: Split) -> Split:
    """Return torch's tensors of the same memory, or those that they are already."""
    return Split(torch.as_tensor(data.images), torch.as_tensor(data.labels))
