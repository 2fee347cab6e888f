"""Small data sets in the original formats, written by the tests."""

import gzip
import io
import itertools
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fl_app.datasets import CIFAR10_FILES, CIFAR100_FILES, IDX_FILES


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def write_idx_folder(folder: Path, train: int = 200, test: int = 40, *, gzipped: bool = True) -> NDArray[np.uint8]:
    """Write the four files of MNIST or Fashion-MNIST and return the training images."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = []
    for count in (train, test):
        arrays.append(rng.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        arrays.append((np.arange(count) % 10).astype(np.uint8))
    for name, array in zip(IDX_FILES, arrays, strict=True):
        content = idx_bytes(array)
        if gzipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return arrays[0]


class _Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, and NumPy's names as they were then."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self: Any, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_string


def python2_pickle(value: object) -> bytes:
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2, fix_imports=True).dump(value)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def write_cifar_folder(folder: Path, images: int = 20) -> NDArray[np.uint8]:
    """Write CIFAR-10's six pickles as its authors' Python 2 did and return the first batch's rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    first = None
    for name in CIFAR10_FILES:
        data = rng.integers(0, 256, (images, 3072), dtype=np.uint8)
        first = data if first is None else first
        batch = {b"batch_label": name.encode(), b"labels": [n % 10 for n in range(images)], b"data": data}
        (folder / name).write_bytes(python2_pickle(batch))
    assert first is not None
    return first


def write_cifar100_folder(folder: Path, images: int = 200) -> None:
    """Write CIFAR-100's two pickles as its authors' Python 2 did."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in CIFAR100_FILES:
        fine = [n % 100 for n in range(images)]
        data = rng.integers(0, 256, (images, 3072), dtype=np.uint8)
        batch = {b"coarse_labels": [n // 5 for n in fine], b"data": data, b"fine_labels": fine}
        (folder / name).write_bytes(python2_pickle(batch))


def write_pictures(folder: Path, counts: dict[str, int], size: tuple[int, int] = (60, 40)) -> None:
    """Write pictures, PNG and JPEG by turns, into a subfolder a class; the colour of each tells its class."""
    for number, (name, count) in enumerate(sorted(counts.items())):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture = Image.new("RGB", size, (40 * number, 0, 200 - 40 * number))
            picture.save(folder / name / f"{index}.{'jpg' if index % 2 else 'png'}")


def write_veri_folder(folder: Path, train: int = 9, test: int = 4, cameras: int = 4, shots: int = 3) -> None:
    """Write VeRi-776's folders, lists and labels: every vehicle, of a colour of its own, passes every camera.

    Training has the vehicles 1 to ``train``. The queries are the first of each camera, and in the gallery, too.
    """
    rng = np.random.default_rng(0)
    names: dict[str, list[str]] = {"train": [], "query": [], "test": []}
    for split in names:
        (folder / f"image_{split}").mkdir(parents=True)
    for vehicle in range(1, train + test + 1):
        colour = rng.integers(0, 200, 3)
        for camera, shot in itertools.product(range(1, cameras + 1), range(shots)):
            name = f"{vehicle:04d}_c{camera:03d}_{1000 * camera + shot:08d}_{shot}.jpg"
            pixels = (colour + 10 * camera + rng.integers(0, 8, (20, 24, 1))).astype(np.uint8)
            for split in ["train"] if vehicle <= train else ["test", "query"] if shot == 0 else ["test"]:
                Image.fromarray(pixels).save(folder / f"image_{split}" / name)
                names[split].append(name)
    for split, listed in names.items():
        (folder / f"name_{split}.txt").write_text("\n".join(listed) + "\n")
    for split in ("train", "test"):
        items = "".join(
            f'    <Item imageName="{name}" vehicleID="{name[:4]}" cameraID="{name[5:9]}" colorID="1" typeID="1"/>\n'
            for name in names[split]
        )
        root = f"{split.title()}ingImages"
        text = (
            f'<?xml version="1.0" encoding="gb2312"?>\n<{root} Version="1.0">\n  <!-- \u8f66\u8f86 -->\n'
            f'  <Items number="{len(names[split])}">\n{items}  </Items>\n</{root}>\n'
        )
        (folder / f"{split}_label.xml").write_bytes(text.encode("gb2312"))
