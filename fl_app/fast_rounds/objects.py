"""How the objects of a message are pulled: those that came with it at once, and the others after a shorter back-off.

A message is announced a moment before all its objects are there. Stock asks again after 1 s, then after 2, 4, … 10 s;
and it starts threads to pull them, also for what is in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from flwr.supercore.constant import PULL_MAX_TRIES_PER_OBJECT
from flwr.supercore.inflatable.inflatable_utils import pull_objects

from fast_rounds import parcel_client

FIRST = 0.05  # seconds
DOUBLINGS = 5  # from FIRST to more than stock's first second: so many tries come on top, and none is lost
SOONER = {"initial_backoff": FIRST, "max_tries_per_object": PULL_MAX_TRIES_PER_OBJECT + DOUBLINGS}


def install(module: ModuleType) -> None:
    """Let `module` pull objects so, and ask as long as stock."""

    def pull(object_ids: list[str], pull_object_fn: Callable[[str], bytes], **settings: Any) -> dict[str, bytes]:
        if parcel_client.at_hand(object_ids):
            return {object_id: pull_object_fn(object_id) for object_id in object_ids}
        return pull_objects(object_ids, pull_object_fn, **(SOONER | settings))

    vars(module)["pull_objects"] = pull
