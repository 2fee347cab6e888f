"""The classifier that stays on its device (FedPAV), in a file that outlasts rounds, restarts and outages.

``<folder>/<first run>/<cid>-<round>.safetensors`` holds the layer as it was after that round. Runs that go on from
an earlier one have its first run, and so its classifiers. Two rounds are kept: a server that was away in the middle of
a round asks for the round again, which then begins with the classifier that it began with before.
"""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fl_app import initial
from fl_app.errors import AppError, one_line
from fl_app.host import fallback_folder

logger = logging.getLogger("flwr")
RUNS = 4  # of which a device keeps the classifiers, each a MB or so


def kept_in() -> Path:
    """Return the folder for what a device keeps, in the home that its service gives the app."""
    return fallback_folder("kept")


@dataclass(frozen=True)
class Kept:
    """The classifiers of the device ``cid`` in the runs from ``first_run`` on, for its ``identities``, int64 (k,)."""

    folder: Path
    first_run: str
    cid: int
    identities: Tensor

    def give(self, model: nn.Module, number: int) -> None:
        """Load into ``model`` what was kept before round ``number``.

        A device that trains for the first time, or lost it, begins with what is in the model; so does an identity that
        is new. Raises `AppError` where the file is damaged.
        """
        path = self._before(number)
        if path is None:
            if number > 1:
                logger.warning("round %d: this device has kept no classifier of this run; it begins anew", number)
            return
        try:
            found = load_file(path)
            known = {identity: row for row, identity in enumerate(found.pop("identities").tolist())}
            rows = [(place, known[i]) for place, i in enumerate(self.identities.tolist()) if i in known]
            state = model.state_dict()
            for name in initial.local(model):
                for place, row in rows:
                    state[name][place] = found[name][row]
        except (OSError, SafetensorError, LookupError, RuntimeError) as error:
            raise AppError(f"the kept classifier {path} is damaged or of another model ({one_line(error)})") from error

    def keep(self, model: nn.Module, number: int) -> None:
        """Write the model's classifier after round ``number``; of the earlier ones, the last stays."""
        state, before = model.state_dict(), self._before(number)
        arrays = {name: state[name].detach().cpu().contiguous() for name in initial.local(model)}
        path = self._path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        with temporary.open("wb") as file:
            file.write(save({**arrays, "identities": self.identities}))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        for other in self._all().values():
            if other not in (path, before):
                other.unlink(missing_ok=True)
        runs = sorted((run for run in self.folder.iterdir() if run.is_dir()), key=lambda run: run.stat().st_mtime)
        for old in runs[:-RUNS]:
            shutil.rmtree(old, ignore_errors=True)  # another device of this machine may do the same

    def _path(self, number: int) -> Path:
        return self.folder / self.first_run / f"{self.cid}-{number}.safetensors"

    def _all(self) -> dict[int, Path]:
        found = self._path(0).parent.glob(f"{self.cid}-*.safetensors")
        return {int(path.stem.partition("-")[2]): path for path in found}

    def _before(self, number: int) -> Path | None:
        earlier = {kept: path for kept, path in self._all().items() if kept < number}
        return earlier[max(earlier)] if earlier else None
