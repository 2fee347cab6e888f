"""How well features find the same identity again: CMC and mAP. Importing this imports torch."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fl_app.errors import AppError
from fl_app.inputs import Inputs
from fl_app.learner import evaluation_batch
from fl_app.reid import ReId
from fl_app.sightings import Sightings
from fl_app.training import best_device

QUERIES = 256  # that are ranked at a time: the whole of VeRi-776 would be a table of 20 million cosines


@dataclass(frozen=True)
class Found:
    """A mean over ``queries``: the share that has a match among the first 1, 5 and 10, and the average precision."""

    rank1: float
    rank5: float
    rank10: float
    mAP: float  # noqa: N815 (the field's spelling, and that of the tables)
    queries: int


@dataclass(frozen=True)
class Gallery:
    """Features, float (n, d), with the identity and the camera of each, int64 (n,)."""

    features: Tensor
    identities: Tensor
    cameras: Tensor

    def __getitem__(self, chosen: slice) -> "Gallery":
        """Return some of them."""
        return Gallery(self.features[chosen], self.identities[chosen], self.cameras[chosen])

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.identities)


@torch.no_grad()
def describe(model: ReId, found: Sightings, inputs: Inputs) -> Gallery:
    """Return the features of the images, on the CPU."""
    model.to(best_device()).eval()
    parts = torch.split(found.images, evaluation_batch(inputs.side))
    return Gallery(torch.cat([model.features(inputs(part)).cpu() for part in parts]), found.labels, found.cameras)


def rank(query: Gallery, gallery: Gallery) -> Found:
    """Rank ``gallery`` for each of ``query`` by the cosine, and return how soon the same identity comes.

    Images of the same identity by the query's own camera are left out of the ranking (VeRi-776's and Market-1501's
    protocol), and a query that no other camera saw is left out of the means. The average precision is the mean of the
    precisions at each match. Raises `AppError` where no query has a match, or the features are no numbers.
    """
    if not (torch.isfinite(query.features).all() and torch.isfinite(gallery.features).all()):
        raise AppError("the model's features are no longer finite: a lower lr may help")
    theirs = normalize(gallery.features).T
    places = torch.arange(1, len(gallery) + 1, dtype=torch.float64)
    sums, queries = torch.zeros(4, dtype=torch.float64), 0
    for start in range(0, len(query), QUERIES):
        some = query[start : start + QUERIES]
        cosines = normalize(some.features) @ theirs
        same = some.identities[:, None] == gallery.identities
        left_out = same & (some.cameras[:, None] == gallery.cameras)
        order = cosines.masked_fill(left_out, -torch.inf).argsort(dim=1, descending=True, stable=True)
        match = (same & ~left_out).gather(1, order)
        match = match[match.any(dim=1)]
        precision = match.cumsum(dim=1) / places
        average = (precision * match).sum(dim=1) / match.sum(dim=1)
        sums += torch.stack([*(match[:, :k].any(dim=1).sum() for k in (1, 5, 10)), average.sum()])
        queries += len(match)
    if not queries:
        raise AppError(f"none of {len(query)} queries has an image of the same identity by another camera")
    rank1, rank5, rank10, average_precision = (sums / queries).tolist()
    return Found(rank1, rank5, rank10, average_precision, queries)
