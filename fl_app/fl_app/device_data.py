"""A device's own images: the part that was sent to it, or a folder of its own."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from flwr.app import UserConfigValue
from torch import Tensor

from fl_app import storage
from fl_app.datasets import DATASETS, DataSet
from fl_app.errors import AppError, one_line
from fl_app.host import fallback_folder
from fl_app.prepare import prepare, validation_size
from fl_app.settings import Config


@dataclass(frozen=True)
class Split:
    """Images, uint8 (n, channels, side, side), and labels, int64 (n,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


def cid_of(node_config: Mapping[str, UserConfigValue]) -> int:
    """Return the device's number; raises `AppError` where the SuperNode was started without one."""
    cid = node_config.get("partition-id")
    if not isinstance(cid, int) or isinstance(cid, bool) or cid < 0:
        raise AppError(f"node-config partition-id={cid!r} is not allowed: start the SuperNode with a number from 0 on")
    return cid


def load(node_config: Mapping[str, UserConfigValue], config: Config) -> tuple[Split, Split]:
    """Return the device's training and validation split; they are the same in every round of a seed.

    Raises `AppError` where the data is absent, damaged or too little.
    """
    cid = cid_of(node_config)
    if own := str(node_config.get("data-path", "")):
        images, labels = read_image_folder(Path(own).expanduser(), DATASETS[config.dataset])
    else:
        images, labels = storage.read(_part(node_config, config, cid))
    held_out = validation_size(len(labels), config.validation_fraction)
    if len(labels) - held_out < config.batch_size:
        raise AppError(
            f"cid {cid} has {len(labels) - held_out} training images, fewer than batch_size={config.batch_size}"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed_of("split", config.seed, cid)))
    first, rest = order[:held_out], order[held_out:]
    return Split(images[rest], labels[rest]), Split(images[first], labels[first])


def seed_of(*what: str | int) -> int:
    """Return a seed that depends on all of ``what``, so that devices and rounds draw numbers of their own."""
    return int.from_bytes(hashlib.sha256(repr(what).encode()).digest()[:8], "big") >> 1


def read_image_folder(folder: Path, entry: DataSet) -> tuple[Tensor, Tensor]:
    """Read the images in ``folder/<class>/``, brought to the data set's size and channels.

    Raises `AppError` where a subfolder is named like no class of the data set, or an image cannot be read.
    """
    import numpy as np
    from PIL import Image

    if not folder.is_dir():
        raise AppError(f"data_path={folder} is no folder on this host")
    pixels, labels = [], []
    for sub in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if sub.name not in entry.classes:
            raise AppError(f"data_path={folder}: {sub.name!r} is no class of the data set: {', '.join(entry.classes)}")
        for path in sorted(path for path in sub.iterdir() if path.is_file() and not path.name.startswith(".")):
            try:
                with Image.open(path) as picture:
                    small = picture.convert("L" if entry.channels == 1 else "RGB").resize((entry.side, entry.side))
            except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all three for damaged files
                raise AppError(f"{path} is no readable image: {one_line(error)}") from error
            pixels.append(np.asarray(small, np.uint8).reshape(entry.side, entry.side, entry.channels))
            labels.append(entry.classes.index(sub.name))
    if not pixels:
        raise AppError(f"data_path={folder} holds no images: they belong in subfolders named like their class")
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def _part(node_config: Mapping[str, UserConfigValue], config: Config, cid: int) -> Path:
    """Return the folder with the device's part; in a run by hand, make it here."""
    if config.partition:
        return Path(str(node_config.get("data-dir") or fallback_folder("data"))) / config.partition
    devices = node_config.get("num-partitions")
    if not isinstance(devices, int) or devices <= cid:
        raise AppError(f"node-config num-partitions={devices!r} is not allowed: a number above partition-id={cid}")
    return Path(prepare(config, range(devices), (), fallback_folder("data"))["folder"]) / str(cid)
