"""A split in which each device has cameras of its own."""

import numpy as np
from datasets import Dataset
from flwr_datasets.partitioner import Partitioner
from numpy.typing import NDArray


class CameraPartitioner(Partitioner):  # type: ignore[misc]
    """Deals the cameras of the column ``camera`` evenly to the devices, in an order that depends on the seed.

    A device has all images of its cameras, and with them the identities that they saw. Raises ValueError where there
    are fewer cameras than devices.
    """

    def __init__(self, partitions: int, seed: int) -> None:
        super().__init__()
        self._partitions, self._seed = partitions, seed
        self._dealt: list[NDArray[np.int64]] = []

    @property
    def num_partitions(self) -> int:
        """The number of partitions."""
        return self._partitions

    def load_partition(self, partition_id: int) -> Dataset:
        """Return a partition, its images in the order of the whole data set."""
        seen = np.asarray(self.dataset["camera"])
        if not self._dealt:
            cameras = np.unique(seen)
            if len(cameras) < self._partitions:
                raise ValueError(f"there are {len(cameras)} cameras")
            shuffled = np.random.default_rng(self._seed).permutation(cameras)
            self._dealt = np.array_split(shuffled, self._partitions)
        return self.dataset.select(np.flatnonzero(np.isin(seen, self._dealt[partition_id])))
