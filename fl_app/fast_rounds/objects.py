"""The back-off of object pulls: a message is announced a moment before all its objects are there.

Stock asks again after 1 s, then after 2, 4, … 10 s.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType

from flwr.supercore.constant import PULL_MAX_TRIES_PER_OBJECT
from flwr.supercore.inflatable.inflatable_utils import pull_objects

FIRST = 0.05  # seconds
DOUBLINGS = 5  # from FIRST to more than stock's first second: so many tries come on top, and none is lost


def install(module: ModuleType) -> None:
    """Let `module` ask again sooner, and as long as stock."""
    vars(module)["pull_objects"] = partial(
        pull_objects, initial_backoff=FIRST, max_tries_per_object=PULL_MAX_TRIES_PER_OBJECT + DOUBLINGS
    )
