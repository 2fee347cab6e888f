"""Models and the arrays that travel; importing this imports no torch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from fl_app.errors import AppError

if TYPE_CHECKING:
    from torch.nn import Module

Arrays = Mapping[str, NDArray[np.generic]]


def from_model(model: "Module") -> ArrayRecord:
    """Return the arrays of the model that travel, all as floating point.

    They are its parameters and buffers, or where some are frozen the trained parameters alone. A counter of batches
    is an integer; QFedAvg and others compute in place, which integers do not take.
    """
    from fl_app import initial

    state = model.cpu().state_dict()
    return ArrayRecord({name: state[name].float().contiguous() for name in initial.travelling(model)})


def into_model(arrays: ArrayRecord, model: "Module", where: str) -> None:
    """Load ``arrays`` into ``model``; ``where`` says in an error where they came from.

    Raises `AppError` where they are those of another model.
    """
    from fl_app import initial

    state = arrays.to_torch_state_dict()
    for name, tensor in state.items():
        if name.endswith("running_var"):
            # Server optimisers and privacy noise treat it as a weight and may push a variance below zero.
            state[name] = tensor.clamp(min=0)
    try:
        if different := sorted(state.keys() ^ set(initial.travelling(model))):
            raise RuntimeError(f"they differ in {', '.join(different)}")
        model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise of_another_model(where, " ".join(str(error).split())) from error


def of_another_model(where: str, reason: str) -> AppError:
    """Return the error of arrays from ``where`` that do not fit the model."""
    return AppError(f"{where} does not hold the arrays of this model: {reason[:200]}")


def like(arrays: ArrayRecord, template: Mapping[str, np.dtype[np.generic]]) -> ArrayRecord:
    """Return ``arrays`` with the dtypes of ``template``.

    Several strategies compute with a float64 factor and hand back float64, which would double the bytes of a
    round.
    """
    return ArrayRecord({name: Array(np.asarray(array.numpy(), template.get(name))) for name, array in arrays.items()})


def dtypes(arrays: ArrayRecord) -> dict[str, np.dtype[np.generic]]:
    """Return the dtype of each array."""
    return {name: np.dtype(array.dtype) for name, array in arrays.items()}


def count_bytes(arrays: ArrayRecord) -> int:
    """Return how many bytes the arrays take when they are sent."""
    return sum(len(array.data) for array in arrays.values())
