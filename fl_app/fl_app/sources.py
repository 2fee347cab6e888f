"""Where a data set's images are to be had: a folder with its original files, or the Hugging Face hub.

What is found but damaged is an error; nothing is ever replaced by other data.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fl_app.errors import AppError, one_line

if TYPE_CHECKING:
    from fl_app.readers import Images, Labels


@dataclass(frozen=True)
class Cameras:
    """Which of the cameras ``names`` saw each image, int64 (n,); the first ``queries`` test images are the queries."""

    names: tuple[str, ...]
    train: "Labels"
    test: "Labels"
    queries: int


@dataclass(frozen=True)
class Raw:
    """A data set in memory: uint8 images (n, height, width, channels) and int64 labels (n,).

    Where there are ``cameras``, it is for re-identification: labels are identities, and those of the test images,
    queries and gallery, are not among those of training.
    """

    train_images: "Images"
    train_labels: "Labels"
    test_images: "Images"
    test_labels: "Labels"
    cameras: Cameras | None = None

    def checksum(self) -> str:
        """Return the SHA-256 of the arrays' bytes, one after the other."""
        digest = hashlib.sha256()
        seen = (self.cameras.train, self.cameras.test) if self.cameras else ()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels, *seen):
            digest.update(array.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """Where a data set was found: in words, its files (none for the hub), and how it is read.

    ``classes`` are the images' where the data set's entry has none.
    """

    words: str
    files: tuple[Path, ...]
    load: Callable[[], Raw]
    classes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Return a hash of the files' content (of the words, where there is no file)."""
        digest = hashlib.sha256(b"" if self.files else self.words.encode())
        for path in self.files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class Hub:
    """A data set's repository on the Hugging Face hub, and the columns of its images and labels."""

    repository: str
    images: str
    labels: str

    def source(self) -> Source:
        """Return the repository as a source; nothing is downloaded before it is loaded."""
        return Source(f"Hugging Face hub, {self.repository}", (), self._load)

    def _load(self) -> Raw:
        """Download both splits, with the library ``datasets`` that flwr-datasets is built on."""
        import numpy as np

        try:
            from datasets import load_dataset

            splits = [load_dataset(self.repository, split=split) for split in ("train", "test")]
        except Exception as error:  # the library raises what its many parts raise
            raise AppError(
                f"{self.repository} cannot be downloaded ({one_line(error)[:160]}): "
                "set data_folder to a folder that holds the data set's original files"
            ) from error
        arrays: list[Any] = []
        for split in splits:
            pixels = np.stack([np.asarray(picture, np.uint8) for picture in split[self.images]])
            arrays.append(pixels if pixels.ndim == 4 else pixels[..., np.newaxis])
            arrays.append(np.asarray(split[self.labels], np.int64))
        return Raw(*arrays)
