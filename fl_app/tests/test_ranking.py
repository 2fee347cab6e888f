"""CMC and mAP against a plain computation query by query and against scikit-learn's average precision."""

import math

import pytest
import torch
from sklearn.metrics import average_precision_score

from fl_app import ranking
from fl_app.errors import AppError
from fl_app.ranking import Gallery, rank


def draw(images: int, seed: int, identities: int = 12, cameras: int = 3) -> Gallery:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, identities, (images,), generator=generator)
    seen = torch.randint(0, cameras, (images,), generator=generator)
    centres = torch.randn(20, 8, generator=torch.Generator().manual_seed(99))
    return Gallery(centres[labels] + 1.5 * torch.randn(images, 8, generator=generator), labels, seen)


def by_hand(query: Gallery, gallery: Gallery) -> tuple[list[float], int]:
    """Return rank 1, 5, 10 and mAP, and the queries that count."""
    hits, precisions = {1: 0, 5: 0, 10: 0}, []
    for q, who, where in zip(query.features.tolist(), query.identities.tolist(), query.cameras.tolist(), strict=True):
        ranked = []
        for g, other, place in zip(
            gallery.features.tolist(), gallery.identities.tolist(), gallery.cameras.tolist(), strict=True
        ):
            if (other, place) == (who, where):
                continue
            dot = sum(a * b for a, b in zip(q, g, strict=True))
            ranked.append((dot / math.hypot(*q) / math.hypot(*g), other == who))
        if not any(right for _, right in ranked):
            continue
        precisions.append(average_precision_score([right for _, right in ranked], [score for score, _ in ranked]))
        first = [right for _, right in sorted(ranked, reverse=True)].index(True)
        for k in hits:
            hits[k] += first < k
    queries = len(precisions)
    return [*(hits[k] / queries for k in hits), sum(precisions) / queries], queries


@pytest.mark.parametrize("at_a_time", [7, 256])
def test_ranks_and_precision_are_those_of_an_independent_computation(
    at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "QUERIES", at_a_time)
    query, gallery = draw(40, seed=1, identities=16), draw(90, seed=2)  # identities 12 to 15 are in no gallery
    found = rank(query, gallery)
    expected, queries = by_hand(query, gallery)
    assert 0 < queries == found.queries < 40
    assert [found.rank1, found.rank5, found.rank10, found.mAP] == pytest.approx(expected, abs=1e-6)
    assert 0.1 < found.rank1 < found.rank5 < 1


def test_an_image_is_not_found_by_itself_nor_by_its_own_camera() -> None:
    features = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.5, 0.5]])
    seen = Gallery(features, torch.tensor([1, 1, 1, 2]), torch.tensor([1, 1, 2, 2]))
    found = rank(seen[0:1], seen)
    # Of vehicle 1 only the image of camera 2 counts, and the other vehicle is more alike.
    assert (found.rank1, found.rank5, found.mAP) == (0.0, 1.0, 0.5)


def test_features_that_are_no_numbers_and_queries_without_a_match_are_errors() -> None:
    seen = Gallery(torch.eye(2), torch.tensor([1, 2]), torch.tensor([1, 1]))
    with pytest.raises(AppError, match="none of 2 queries"):
        rank(seen, seen)
    with pytest.raises(AppError, match="no longer finite"):
        rank(seen, Gallery(torch.full((2, 2), torch.nan), seen.identities, seen.cameras))
