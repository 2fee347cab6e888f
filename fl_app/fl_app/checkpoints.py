"""What a run needs to go on later: the global arrays of a round and what the strategy's optimiser keeps."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from fl_app.errors import AppError, one_line
from fl_app.run_folder import RunFolder

ROUND = re.compile(r"round-(\d+)\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """The arrays after round ``round``, and the strategy's state then (empty where it had none)."""

    path: Path
    round: int
    arrays: ArrayRecord
    state: Mapping[str, NDArray[Any]]
    first_run: str = ""  # the id of the run that it is of, or that one went on from

    def fitting(self, model: ArrayRecord) -> ArrayRecord:
        """Return the arrays in the order of ``model``: files sort by name, some strategies go by position.

        Raises `AppError` where names or shapes are not those of ``model``.
        """
        shapes = {name: tuple(array.shape) for name, array in self.arrays.items()}
        wanted = {name: tuple(array.shape) for name, array in model.items()}
        if shapes != wanted:
            wrong = min(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name))
            raise AppError(
                f"{self.path} is a checkpoint of another model: {wrong} has shape {shapes.get(wrong)}, "
                f"where {wanted.get(wrong)} is needed"
            )
        return ArrayRecord({name: self.arrays[name] for name in model})


def save(folder: RunFolder, number: int, arrays: ArrayRecord, strategy: Strategy, names: tuple[str, ...]) -> None:
    """Write ``model/round-<number>.safetensors`` and, where the strategy has a state, ``state-<number>``.

    ``names`` are the attributes of ``strategy`` that are its state.
    """
    # The state goes first: where the round's file is, the run can go on from it.
    if state := _state_of(strategy, names):
        folder.save_arrays(f"state-{number}", state, {"strategy": type(strategy).__name__})
    folder.save_arrays(
        f"round-{number}",
        {name: array.numpy() for name, array in arrays.items()},
        {"round": str(number), "first_run": folder.info.get("first_run", "")},
    )


def load(folder: Path) -> Checkpoint:
    """Return the last checkpoint in the run's folder ``folder``.

    Raises `AppError` where there is none or it is damaged.
    """
    found = {int(m[1]): path for path in (folder / "model").glob("round-*") if (m := ROUND.fullmatch(path.name))}
    if not found:
        raise AppError(f"resume_from={folder}: there is no model/round-N.safetensors in this folder of the server")
    number = max(found)
    path = found[number]
    state = path.with_name(f"state-{number}.safetensors")
    try:
        arrays = {name: Array(array) for name, array in load_file(path).items()}
        with safe_open(path, "numpy") as file:
            first_run = (file.metadata() or {}).get("first_run", "")
        return Checkpoint(path, number, ArrayRecord(arrays), load_file(state) if state.is_file() else {}, first_run)
    except (OSError, SafetensorError) as error:
        raise AppError(f"{path} cannot be read: {one_line(error)}") from error


def restore(strategy: Strategy, names: tuple[str, ...], state: Mapping[str, NDArray[Any]]) -> None:
    """Give ``strategy`` the state that `save` wrote; attributes without one stay as they are."""
    for name in names:
        items = {key.removeprefix(f"{name}/"): array for key, array in state.items() if key.startswith(f"{name}/")}
        if name in state:
            setattr(strategy, name, float(state[name]))
        elif items and all(key.isdecimal() for key in items):
            setattr(strategy, name, [items[key] for key in sorted(items, key=int)])
        elif items:
            setattr(strategy, name, items)


def _state_of(strategy: Strategy, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return numbers, lists and dictionaries of arrays as one dictionary: ``v_t/fc1.bias``, ``vector/0``."""
    flat: dict[str, NDArray[Any]] = {}
    for name in names:
        value = getattr(strategy, name)
        if isinstance(value, float):
            flat[name] = np.asarray(value)
        elif value is not None:
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            flat |= {f"{name}/{key}": np.asarray(array) for key, array in items}
    return flat
