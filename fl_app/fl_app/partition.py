"""The partitioners, one entry each, most of them flwr-datasets'; the table imports nothing heavy."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fl_app.errors import AppError, one_line

if TYPE_CHECKING:
    import numpy as np
    from flwr_datasets.partitioner import Partitioner
    from numpy.typing import NDArray

    from fl_app.settings import Config

    Build = Callable[[int, Config], Partitioner]


def _iid(parts: int, config: "Config") -> "Partitioner":
    from flwr_datasets.partitioner import IidPartitioner

    return IidPartitioner(parts)


def _dirichlet(parts: int, config: "Config") -> "Partitioner":
    from flwr_datasets.partitioner import DirichletPartitioner

    return DirichletPartitioner(parts, "label", alpha=config.alpha, seed=config.seed)


def _shard(parts: int, config: "Config") -> "Partitioner":
    from flwr_datasets.partitioner import ShardPartitioner

    return ShardPartitioner(parts, "label", num_shards_per_partition=config.classes_per_device, seed=config.seed)


def _pathological(parts: int, config: "Config") -> "Partitioner":
    from flwr_datasets.partitioner import PathologicalPartitioner

    return PathologicalPartitioner(
        parts,
        "label",
        num_classes_per_partition=config.classes_per_device,
        class_assignment_mode="first-deterministic",
        seed=config.seed,
    )


def _class_share(parts: int, config: "Config") -> "Partitioner":
    from fl_app.class_share import ClassSharePartitioner

    return ClassSharePartitioner(parts, config.classes_per_device, config.class_share, config.seed)


def _camera(parts: int, config: "Config") -> "Partitioner":
    from fl_app.by_camera import CameraPartitioner

    return CameraPartitioner(parts, config.seed)


# Name -> (builder, the settings beside the seed that shape its parts).
PARTITIONERS: "dict[str, tuple[Build, tuple[str, ...]]]" = {
    "iid": (_iid, ()),
    "dirichlet": (_dirichlet, ("alpha",)),
    "shard": (_shard, ("classes_per_device",)),
    "pathological": (_pathological, ("classes_per_device",)),
    "class_share": (_class_share, ("classes_per_device", "class_share")),
    "camera": (_camera, ()),
}


def shaped_by(config: "Config") -> dict[str, Any]:
    """Return the settings that the parts depend on, with their values."""
    return {name: getattr(config, name) for name in ("partitioner", "seed", *PARTITIONERS[config.partitioner][1])}


def partition(
    labels: "NDArray[np.int64]", parts: int, config: "Config", cameras: "NDArray[np.int64] | None" = None
) -> "list[NDArray[np.int64]]":
    """Divide the images with ``labels``, and perhaps ``cameras`` (shape (n,)), into ``parts`` disjoint parts.

    Returns the sorted indices of each part. Every image is in one part, but that ``pathological`` leaves out
    the classes that no device was given, and ``shard``, whose shards are of one size, the last few images.
    The same labels, number and settings give the same parts. Raises `AppError` where it cannot be done.
    """
    import numpy as np
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    # The library's iid partitioner takes the images as they come; the others shuffle by the seed themselves.
    order = np.random.default_rng(config.seed).permutation(len(labels))
    partitioner = PARTITIONERS[config.partitioner][0](parts, config)
    columns = {"label": labels} if cameras is None else {"label": labels, "camera": cameras}
    partitioner.dataset = Dataset.from_dict({"index": order, **{name: c[order] for name, c in columns.items()}})
    try:
        with warnings.catch_warnings():
            # The library warns of classes that no device gets; whoever prepares the parts says so in one line.
            warnings.simplefilter("ignore")
            made = [partitioner.load_partition(n)["index"] for n in range(parts)]
        return [np.sort(np.asarray(indices, np.int64)) for indices in made]
    except (ValueError, IndexError, KeyError) as error:
        settings = " ".join(f"{name}={value}" for name, value in shaped_by(config).items())
        raise AppError(f"{settings} cannot make {parts} parts of {len(labels)} images: {one_line(error)}") from error
