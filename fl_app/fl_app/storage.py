"""The files that hold a device's part or the server's test set: safetensors of uint8 images and int64 labels.

Images are stored as (n, channels, height, width), the layout that torch's layers take.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from fl_app.errors import AppError, one_line

if TYPE_CHECKING:
    from fl_app.readers import Images, Labels

FILE = "images.safetensors"


def write(folder: Path, images: "Images", labels: "Labels") -> None:
    """Write images of shape (n, height, width, channels) and their labels into ``folder``, which is made."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    save_file({"images": planes, "labels": np.ascontiguousarray(labels)}, folder / FILE)


def read(folder: Path) -> "tuple[Images, Labels]":
    """Return the images, uint8 (n, channels, height, width), and the labels, int64 (n,), of ``folder``.

    Raises `AppError` where they are absent or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / FILE
    try:
        arrays = load_file(path)
        return arrays["images"], arrays["labels"]
    except FileNotFoundError:
        raise AppError(f"{path} is not there: this run's data was not sent to this host") from None
    except (OSError, SafetensorError, KeyError) as error:
        raise AppError(f"{path} is damaged ({one_line(error)}): delete its folder and start the run again") from error
