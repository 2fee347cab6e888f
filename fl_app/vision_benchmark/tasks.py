"""The work that is measured: training, fine-tuning of the head, and evaluation, a number of batches each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from vision_benchmark.clock import Clock
from vision_benchmark.images import Batches

LR = 0.1  # of plain SGD: it decides nothing about the time
Step = Callable[[torch.Tensor, torch.Tensor], None]


@dataclass
class Bench:
    """A model on a device, the batches that it gets, and the layout of their memory."""

    model: nn.Module
    batches: Batches
    device: torch.device
    layout: torch.memory_format = torch.contiguous_format

    def set_layout(self, layout: torch.memory_format) -> None:
        """Lay the model's weights, and from now on the images, out in this way."""
        self.layout = layout
        self.model.to(memory_format=layout)  # type: ignore[call-overload]

    def trainer(self, parameters: Iterable[nn.Parameter] | None) -> Step:
        """Return a step that trains ``parameters`` (None: all) and leaves the others as they are."""
        chosen = set(self.model.parameters() if parameters is None else parameters)
        for parameter in self.model.parameters():
            parameter.requires_grad = parameter in chosen
            parameter.grad = None
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer, criterion = torch.optim.SGD(trained, lr=LR), nn.CrossEntropyLoss()
        self.model.train()

        def step(images: torch.Tensor, labels: torch.Tensor) -> None:
            optimizer.zero_grad()
            criterion(self.model(images), labels).backward()
            optimizer.step()

        return step

    def evaluator(self) -> Step:
        """Return a step that counts the loss and what is right, as a validation does."""
        criterion = nn.CrossEntropyLoss()
        self.model.eval()

        def step(images: torch.Tensor, labels: torch.Tensor) -> None:
            with torch.no_grad():
                outputs = self.model(images)
                criterion(outputs, labels).item()
                (outputs.argmax(1) == labels).sum().item()

        return step

    def time(self, step: Step, steps: int, warm_up: int, done: Callable[[int], None]) -> list[float]:
        """Return the milliseconds of each of ``steps`` batches, loading and moving included, after a warm-up.

        ``done`` is told the number of each batch as it ends.
        """
        for _ in range(warm_up):
            self._one(step)
        clock = Clock(self.device)
        clock.mark()
        for number in range(1, steps + 1):
            self._one(step)
            clock.mark()
            done(number)
        return clock.milliseconds()

    def _one(self, step: Step) -> None:
        images, labels = next(self.batches)
        step(images.to(self.device, memory_format=self.layout), labels.to(self.device))
