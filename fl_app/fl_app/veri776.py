"""VeRi-776 from the folder of its original release (https://github.com/JDAI-CV/VeRidataset).

Images lie in ``image_train``, ``image_query`` and ``image_test`` (the gallery) and are called
``<vehicle>_c<camera>_<time>_<number>.jpg``. ``name_<split>.txt`` lists those of a split, one a line; without it the
whole folder is the split. Where ``train_label.xml`` and ``test_label.xml`` are there, they decide vehicle and camera.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from fl_app.errors import AppError, one_line
from fl_app.sources import Cameras, Raw, Source

if TYPE_CHECKING:
    from fl_app.readers import Images

SPLITS = {"train": "train_label.xml", "query": "test_label.xml", "test": "test_label.xml"}
NAME = re.compile(r"(\d+)_c(\d+)_.*\.(?:jpg|jpeg|png)", re.IGNORECASE)
SUBFOLDERS = ("", "VeRi", "VeRi-776")


@dataclass(frozen=True)
class Sighting:
    """An image, and the vehicle and the camera that it is of."""

    path: Path
    vehicle: int
    camera: int


def find(folder: Path, side: int) -> Source | None:
    """Find the release in ``folder``; raises `AppError` where a part of it is missing or damaged."""
    place = next((folder / name for name in SUBFOLDERS if (folder / name / "image_train").is_dir()), None)
    if place is None:
        return None
    splits = {split: _split(place, split, label) for split, label in SPLITS.items()}
    vehicles = {split: len({sighting.vehicle for sighting in found}) for split, found in splits.items()}
    said = ", ".join(f"{len(found):,} of {vehicles[split]} vehicles ({split})" for split, found in splits.items())
    files = tuple(sighting.path for found in splits.values() for sighting in found)
    labels = tuple(path for path in (place / label for label in sorted(set(SPLITS.values()))) if path.is_file())
    return Source(f"images in {place}: {said}", files + labels, partial(_read, splits, side))


def sighting_of(path: Path) -> Sighting:
    """Return the image with what its name says; raises `AppError` where it says nothing."""
    told = NAME.fullmatch(path.name)
    if told is None:
        raise AppError(f"{path} is not named <vehicle>_c<camera>_<time>_<number>.jpg, as 0002_c003_00030600_0.jpg is")
    return Sighting(path, int(told[1]), int(told[2]))


def _split(place: Path, split: str, label: str) -> list[Sighting]:
    """Return the images of a split, in the order of its list."""
    folder = place / f"image_{split}"
    if not folder.is_dir():
        raise AppError(f"{folder} is missing: VeRi-776 has image_train, image_query and image_test")
    names, where = _names(place / f"name_{split}.txt")
    there = {path.name for path in folder.iterdir()}
    told = _labels(place / label)
    if names is None:
        names, where = sorted(name for name in there if not name.startswith(".")), [str(folder)] * len(there)
    if not names:
        raise AppError(f"{folder} holds no images")
    found = []
    for name, line in zip(names, where, strict=False):
        if name not in there:
            raise AppError(f"{line}: {name!r} is no image in {folder}")
        known = told.get(name)
        found.append(Sighting(folder / name, *known) if known else sighting_of(folder / name))
    return found


def _names(path: Path) -> tuple[list[str] | None, list[str]]:
    """Return the lines of a list and where each stands; None where there is no list."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return None, []
    except (OSError, UnicodeDecodeError) as error:
        raise AppError(f"{path}: damaged: {one_line(error)}") from error
    filled = [(line.strip(), f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    return [line for line, _ in filled], [where for _, where in filled]


def _labels(path: Path) -> Mapping[str, tuple[int, int]]:
    """Return vehicle and camera by the image's name; empty where there is no such file.

    It is in GB 2312, which Python's XML parser does not read by itself.
    """
    try:
        text = path.read_bytes().decode("gb18030")  # of which GB 2312 is a part
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
        return {
            item.attrib["imageName"]: (int(item.attrib["vehicleID"]), int(item.attrib["cameraID"].lstrip("c")))
            for item in root.iter("Item")
        }
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise AppError(f"{path}: damaged, or not VeRi-776's: {one_line(error)}") from error


def _read(splits: Mapping[str, list[Sighting]], side: int) -> Raw:
    import numpy as np

    from fl_app.readers import read_image

    def pixels(found: list[Sighting]) -> "Images":
        images = np.empty((len(found), side, side, 3), np.uint8)  # one by one into place: they are gigabytes
        for number, sighting in enumerate(found):
            images[number] = read_image(sighting.path, side, 3)
        return images

    train, test = splits["train"], [*splits["query"], *splits["test"]]
    cameras = sorted({sighting.camera for sighting in (*train, *test)})
    number = {camera: place for place, camera in enumerate(cameras)}
    labels = [np.asarray([sighting.vehicle for sighting in found], np.int64) for found in (train, test)]
    seen = [np.asarray([number[sighting.camera] for sighting in found], np.int64) for found in (train, test)]
    names = tuple(f"c{camera:03d}" for camera in cameras)
    cameras_of = Cameras(names, seen[0], seen[1], len(splits["query"]))
    return Raw(pixels(train), labels[0], pixels(test), labels[1], cameras_of)
