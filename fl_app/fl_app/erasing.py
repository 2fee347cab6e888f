"""Random erasing (arXiv 1708.04896): a rectangle of a training image is blanked, so that no one detail is enough."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from fl_app.datasets import DATASETS

if TYPE_CHECKING:
    from fl_app.settings import Config

AREA = (0.02, 0.4)  # of the image
NARROWEST = 0.3  # the sides' ratio


def of(config: "Config", seed: int) -> Callable[[Tensor], Tensor] | None:
    """Return what erases from a batch (n, channels, height, width), in place, with ``random_erasing``; else None.

    What is erased gets the mean colour, which is zero after normalisation, as FedPAV's authors have it. The same
    ``seed`` erases the same.
    """
    if not (DATASETS[config.dataset].reid and config.random_erasing):
        return None
    from fl_app.timm_models import library

    library()  # which brings torchvision, where its compiled part does not fit
    from timm.data.random_erasing import RandomErasing

    erase = RandomErasing(config.random_erasing, *AREA, min_aspect=NARROWEST, mode="const", device="cpu")  # type: ignore[no-untyped-call]
    own = random.Random(seed).getstate()

    def blank(images: Tensor) -> Tensor:
        """Have timm draw from numbers of our own: it takes Python's generator, which others use, too."""
        nonlocal own
        others = random.getstate()
        random.setstate(own)
        try:
            erase(images)
        finally:
            own = random.getstate()
            random.setstate(others)
        return images

    return blank
