"""A device's own images: the part that was sent to it, or a folder of its own."""

import hashlib
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import UserConfigValue

from fl_app import storage
from fl_app.datasets import DataSet, entry_of
from fl_app.errors import AppError
from fl_app.host import fallback_folder
from fl_app.prepare import prepare, prepared, validation_size
from fl_app.settings import Config

if TYPE_CHECKING:
    from fl_app.readers import Images, Labels


@dataclass(frozen=True)
class Split:
    """Images, uint8 (n, channels, side, side), and labels, int64 (n,): of NumPy, or in training of the framework."""

    images: Any
    labels: Any

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


def cid_of(node_config: Mapping[str, UserConfigValue]) -> int:
    """Return the device's number; raises `AppError` where the SuperNode was started without one."""
    cid = node_config.get("partition-id")
    if not isinstance(cid, int) or isinstance(cid, bool) or cid < 0:
        raise AppError(f"node-config partition-id={cid!r} is not allowed: start the SuperNode with a number from 0 on")
    return cid


def place(node_config: Mapping[str, UserConfigValue], config: Config) -> tuple[Config, Path | None]:
    """Return the folder with the device's part and, where it needs them, its weights; in a run by hand, make it here.

    The configuration that is returned knows the classes. Without a part, a device with images of its own needs no
    folder. Raises `AppError`.
    """
    cid = cid_of(node_config)
    if config.partition:
        return config, Path(str(node_config.get("data-dir") or fallback_folder("data"))) / config.partition
    own = bool(node_config.get("data-path"))
    entry = entry_of(config)
    if own and config.finetune != "head" and (entry.classes or entry.reid):
        return config, None
    devices = node_config.get("num-partitions")
    if not isinstance(devices, int) or devices <= cid:
        raise AppError(f"node-config num-partitions={devices!r} is not allowed: a number above partition-id={cid}")
    made = prepare(config, range(devices), [cid] if own else (), fallback_folder("data"))
    return prepared(config, made), Path(made["folder"]) / str(cid)


def load(node_config: Mapping[str, UserConfigValue], config: Config, part: Path | None) -> tuple[Split, Split]:
    """Return the device's training and validation split; they are the same in every round of a seed.

    ``part`` is the folder of `place`. Raises `AppError` where the data is absent, damaged or too little.
    """
    cid = cid_of(node_config)
    if own := str(node_config.get("data-path", "")):
        images, labels = read_image_folder(Path(own).expanduser(), entry_of(config))
    elif part is None:
        raise AppError(f"cid {cid} has neither a part of the data nor a data-path")
    else:
        images, labels = storage.read(part)
    held_out = validation_size(len(labels), config.validation_fraction)
    if len(labels) - held_out < config.batch_size:
        raise AppError(
            f"cid {cid} has {len(labels) - held_out} training images, fewer than batch_size={config.batch_size}"
        )
    order = np.random.default_rng(seed_of("split", config.seed, cid)).permutation(len(labels))
    first, rest = order[:held_out], order[held_out:]
    return Split(images[rest], labels[rest]), Split(images[first], labels[first])


def seed_of(*what: str | int) -> int:
    """Return a seed that depends on all of ``what``, so that devices and rounds draw numbers of their own."""
    return int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:8], "big") >> 1


def read_image_folder(folder: Path, entry: DataSet) -> "tuple[Images, Labels]":
    """Read the images in ``folder/<class>/``, brought to the data set's size and channels, in the layout of `Split`.

    Raises `AppError` where a subfolder is named like no class of the data set, or an image cannot be read.
    """
    from fl_app.readers import read_class_folders

    try:
        there = folder.is_dir()
        found = read_class_folders(folder, entry.classes, entry.side, entry.channels) if there else None
    except AppError as error:
        raise AppError(f"data_path={folder}: {error}") from error
    except PermissionError as error:
        user = pwd.getpwuid(os.geteuid()).pw_name
        raise AppError(f"data_path={folder} is closed to {user}, whom the app runs as: {error}") from error
    if found is None:
        raise AppError(f"data_path={folder} is no folder on this host")
    pixels, labels = found
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), labels
