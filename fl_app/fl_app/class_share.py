"""A split in which each device has classes of its own, and a little of all others."""

import numpy as np
from datasets import Dataset
from flwr_datasets.partitioner import Partitioner
from numpy.typing import NDArray


class ClassSharePartitioner(Partitioner):  # type: ignore[misc]
    """Gives ``share`` of each class's images to the devices that have the class, and the rest to the others.

    Device i has the classes from i * ``classes`` on, ``classes`` of them, in an order that depends on the seed. Within
    a group images are dealt evenly; of a class that all devices have or none, all images are. Raises ValueError where
    there are fewer classes than that.
    """

    def __init__(self, partitions: int, classes: int, share: float, seed: int) -> None:
        super().__init__()
        self._partitions, self._classes, self._share, self._seed = partitions, classes, share, seed
        self._parts: list[NDArray[np.int64]] = []

    @property
    def num_partitions(self) -> int:
        """The number of partitions."""
        return self._partitions

    def load_partition(self, partition_id: int) -> Dataset:
        """Return a partition, its images in the order of the whole data set."""
        if not self._parts:
            self._parts = self._divide(np.asarray(self.dataset["label"]))
        return self.dataset.select(self._parts[partition_id])

    def _divide(self, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        rng = np.random.default_rng(self._seed)
        kinds = rng.permutation(np.unique(labels))
        if self._classes > len(kinds):
            raise ValueError(f"there are {len(kinds)} classes")
        devices = np.arange(self._partitions)
        places = (devices[:, np.newaxis] * self._classes + np.arange(self._classes)) % len(kinds)
        mine: list[list[NDArray[np.int64]]] = [[] for _ in devices]
        for place, kind in enumerate(kinds):
            images = rng.permutation(np.flatnonzero(labels == kind))
            has = (places == place).any(axis=1)
            first = round(self._share * len(images)) if has.any() and not has.all() else len(images)
            owners = devices[has] if has.any() else devices
            for group, dealt in ((owners, images[:first]), (devices[~has], images[first:])):
                if len(dealt):
                    # Whoever comes first gets what does not divide: another device each time.
                    for device, piece in zip(rng.permutation(group), np.array_split(dealt, len(group)), strict=True):
                        mine[device].append(piece)
        return [np.sort(np.concatenate(pieces)) for pieces in mine]
