"""How large a model is, without building it: counted on torch's meta device, which has shapes and no memory."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from vision_benchmark import zoo


@dataclass(frozen=True)
class Size:
    """Parameters in millions, GMACs and MB of activations of one image, as in `plan.Model`."""

    parameters: float
    gmacs: float
    activation_mb: float


def size(name: str, input_shape: tuple[int, int, int], classes: int) -> Size:
    """Count a model of timm.

    GMACs are half of what torch's own counter of floating-point operations says of a forward pass. Activations are what
    autograd saves for the backward pass of training, each storage once, weights left out.
    """
    saved: dict[int, tuple[int, torch.Tensor]] = {}  # the tensors too, so that no storage's place is taken again
    with torch.device("meta"):
        model = zoo.create(name, input_shape, classes).train()
        images = torch.empty(2, *input_shape)
        weights = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in weights:
                saved[storage._cdata] = (storage.nbytes(), tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(images)
        activations = sum(count for count, _ in saved.values()) / len(images)
        saved.clear()
        model.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(images[:1])
    return Size(
        parameters=round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2),
        gmacs=round(counter.get_total_flops() / 2e9, 3),
        activation_mb=round(activations / 1e6, 1),
    )
