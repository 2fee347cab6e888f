"""Which settings go together for re-identification: its data, model and algorithm come all three, or none of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fl_app.algorithms import ALGORITHMS
from fl_app.datasets import DATASETS
from fl_app.errors import AppError
from fl_app.models import MODELS, entry_of

if TYPE_CHECKING:
    from fl_app.settings import Config


def check(config: "Config") -> None:
    """Raise `AppError` where some of the settings are for re-identification and others are not."""
    given = {
        f"dataset={config.dataset}": DATASETS[config.dataset].reid,
        f"model={config.model}": entry_of(config.model).reid,
        f"algorithm={config.algorithm}": ALGORITHMS[config.algorithm].partial,
    }
    for_it = [words for words, reid in given.items() if reid]
    if not for_it:
        if config.partitioner == "camera":
            raise AppError(f"partitioner=camera needs a data set with cameras: dataset={_named(DATASETS, 'reid')}")
        return
    if other := [words for words, reid in given.items() if not reid]:
        raise AppError(
            f"{for_it[0]} is for re-identification, {other[0]} is not: take dataset={_named(DATASETS, 'reid')}, "
            f"model={_named(MODELS, 'reid')} or reid/NAME, and algorithm={_named(ALGORITHMS, 'partial')}"
        )
    if config.finetune == "head":
        raise AppError(f"finetune=head trains what algorithm={config.algorithm} keeps on the device: nothing is shared")


def _named(table: Mapping[str, Any], flag: str) -> str:
    return " or ".join(name for name, entry in table.items() if getattr(entry, flag))
