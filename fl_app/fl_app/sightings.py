"""Images for re-identification: who is on them and which camera saw them, on a device and on the server."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from flwr.app import UserConfigValue
from torch import Tensor

from fl_app import storage
from fl_app.datasets import DataSet, entry_of
from fl_app.device_data import Split, cid_of, seed_of
from fl_app.errors import AppError
from fl_app.prepare import validation_size
from fl_app.settings import Config

FEWEST = 3  # identities of a device: two to tell apart, and one to be held out


@dataclass(frozen=True)
class Sightings(Split):
    """Images, the identities on them as labels, and cameras, int64 (n,)."""

    cameras: Tensor

    def __getitem__(self, chosen: Tensor) -> "Sightings":
        """Return those of a mask or of indices."""
        return Sightings(self.images[chosen], self.labels[chosen], self.cameras[chosen])


def load(node_config: Mapping[str, UserConfigValue], config: Config, part: Path | None) -> tuple[Sightings, Sightings]:
    """Return the device's images for training and for validation, the same in every round of a seed.

    Whole identities are held out, a share ``validation_fraction`` of all, for re-identification is about those that no
    training has seen: such that two of its cameras saw. Where there are none, each image counts as a camera of its
    own. ``part`` is the folder of `device_data.place`. Raises `AppError` where the data is absent, damaged or too
    little.
    """
    cid = cid_of(node_config)
    if own := str(node_config.get("data-path", "")):
        found = read_folder(Path(own).expanduser(), entry_of(config))
    elif part is None:
        raise AppError(f"cid {cid} has neither a part of the data nor a data-path")
    else:
        found = Sightings(*map(torch.from_numpy, storage.read(part, "cameras")))
    identities, cameras = _seen_by(found)
    if not (cameras > 1).any():  # as with one camera alone: it can find its own images again
        found = replace(found, cameras=torch.arange(len(found)))
        identities, cameras = _seen_by(found)
    if len(identities) < FEWEST:
        raise AppError(f"cid {cid} has images of {len(identities)} identities: it takes {FEWEST} to learn from them")
    draw = torch.Generator().manual_seed(seed_of("split", config.seed, cid))
    again = identities[cameras > 1]
    chosen = again[torch.randperm(len(again), generator=draw)]
    held_out = torch.isin(found.labels, chosen[: validation_size(len(identities), config.validation_fraction)])
    training, validation = found[~held_out], found[held_out]
    if len(training) < config.batch_size:
        raise AppError(f"cid {cid} has {len(training)} training images, fewer than batch_size={config.batch_size}")
    return training, validation


def _seen_by(found: Sightings) -> tuple[Tensor, Tensor]:
    """Return the identities, sorted, and how many cameras saw each."""
    pairs = torch.unique(torch.stack([found.labels, found.cameras]), dim=1)
    identities, cameras = torch.unique(pairs[0], return_counts=True)
    return identities, cameras


def load_test(folder: Path) -> tuple[Sightings, Sightings]:
    """Return the server's queries and its gallery; raises `AppError` where they are absent or damaged."""
    *columns, queries = map(torch.from_numpy, storage.read(folder, "cameras", "queries"))
    every, first = Sightings(*columns), torch.arange(len(columns[0])) < queries
    return every[first], every[~first]


def read_folder(folder: Path, entry: DataSet) -> Sightings:
    """Read a device's own images, which are named as VeRi-776's are: ``<identity>_c<camera>_<time>_<number>.jpg``."""
    import numpy as np

    from fl_app.readers import images_in, read_image
    from fl_app.veri776 import sighting_of

    if not folder.is_dir():
        raise AppError(f"data_path={folder} is no folder on this host")
    try:
        found = [sighting_of(path) for path in images_in(folder)]
        pixels = [read_image(sighting.path, entry.side, entry.channels) for sighting in found]
    except AppError as error:
        raise AppError(f"data_path={folder}: {error}") from error
    if not found:
        raise AppError(f"data_path={folder} holds no images")
    return Sightings(
        torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(),
        torch.tensor([sighting.vehicle for sighting in found]),
        torch.tensor([sighting.camera for sighting in found]),
    )
