"""Re-identification: a model whose features are scored by ranks, and whose classifier is its device's own (FedPAV).

Importing this imports torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from flwr.app import UserConfigValue

from fl_app import ranking, sightings
from fl_app.datasets import DataSet
from fl_app.device_data import Split, cid_of
from fl_app.kept import Kept, kept_in
from fl_app.reid import ReId
from fl_app.settings import Config
from fl_app.sightings import Sightings
from fl_app.torch_learner import TorchLearner


class ReIdLearner(TorchLearner):
    """A torch module that is a `ReId`, with what is ``kept`` on a device that trains it."""

    def __init__(
        self,
        config: Config,
        entry: DataSet,
        folder: Path | None,
        *,
        whole: bool,
        classes: int | None = None,
        kept: Kept | None = None,
    ) -> None:
        """Build the model; its classifier tells ``classes`` apart, or the identities of which one is ``kept``."""
        self.kept = kept
        super().__init__(config, entry, folder, whole=whole, classes=len(kept.identities) if kept else classes)

    def validate(self, data: Split) -> dict[str, float]:
        """Return rank 1 and mAP of each image among the others; of examples, the queries."""
        gallery = self._describe(data)
        found = ranking.rank(gallery, gallery)
        return {"num-examples": found.queries, "eval_rank1": found.rank1, "eval_mAP": found.mAP}

    def tester(self, part: Path) -> Callable[[], Mapping[str, float]]:
        """Return what ranks the server's gallery for its queries."""
        query, gallery = sightings.load_test(part)

        def ranks() -> Mapping[str, float]:
            found = ranking.rank(self._describe(query), self._describe(gallery))
            return {"rank1": found.rank1, "rank5": found.rank5, "rank10": found.rank10, "mAP": found.mAP}

        return ranks

    def recall(self, number: int) -> None:
        """Take up the classifier from before round ``number``."""
        if self.kept:
            self.kept.give(self.model, number)

    def keep(self, number: int) -> None:
        """Keep the classifier after round ``number``."""
        if self.kept:
            self.kept.keep(self.model, number)

    def _describe(self, data: Split) -> ranking.Gallery:
        assert isinstance(self.model, ReId)
        assert isinstance(data, Sightings)
        return ranking.describe(self.model, data, self.inputs)


def on_device(
    node_config: Mapping[str, UserConfigValue], config: Config, entry: DataSet, part: Path | None, first_run: str
) -> tuple[ReIdLearner, tuple[Sightings, Sightings]]:
    """Return a device's model, with a classifier for the identities that it trains on, and its splits.

    ``first_run`` names the run whose classifiers these are; the labels count the identities from 0. Raises `AppError`.
    """
    training, validation = sightings.load(node_config, config, part)
    identities, labels = torch.unique(training.labels, return_inverse=True)
    kept = Kept(kept_in(), first_run, cid_of(node_config), identities)
    learner = ReIdLearner(config, entry, part, whole=False, kept=kept)
    return learner, (replace(training, labels=labels), validation)
