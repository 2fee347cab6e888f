"""The files that hold a device's part or the server's test set: safetensors of uint8 images and int64 labels.

Images are stored as (n, channels, height, width), the layout that torch's layers take. For re-identification
``cameras``, int64 (n,), lie beside the labels, and on the server the number of ``queries``, which are the first images.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fl_app.errors import AppError, one_line

if TYPE_CHECKING:
    from fl_app.readers import Images, Labels

FILE = "images.safetensors"


def write(folder: Path, images: "Images", labels: "Labels", **more: "Labels") -> None:
    """Write images of shape (n, height, width, channels), labels and what else there is into ``folder``, made here."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    others = {name: np.ascontiguousarray(array) for name, array in {"labels": labels, **more}.items()}
    save_file({"images": planes, **others}, folder / FILE)


def read(folder: Path, *more: str) -> "tuple[Any, ...]":
    """Return the images, uint8 (n, channels, height, width), the labels, int64 (n,), and ``more``, of ``folder``.

    Raises `AppError` where they are absent or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / FILE
    try:
        arrays = load_file(path)
        return tuple(arrays[name] for name in ("images", "labels", *more))
    except FileNotFoundError:
        raise AppError(f"{path} is not there: this run's data was not sent to this host") from None
    except (OSError, SafetensorError, KeyError) as error:
        raise AppError(f"{path} is damaged ({one_line(error)}): delete its folder and start the run again") from error
