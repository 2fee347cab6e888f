"""Whether a run still goes on, which a SuperLink asks its database ten times a second, and not for each object.

A SuperNode is refused where it does not. Stock asks before each object that a SuperNode sends or fetches, in a
transaction before that object's, so that a run may have ended in between there, too.
"""

from __future__ import annotations

from functools import wraps
from time import monotonic

from flwr.common.constant import Status
from flwr.server.superlink import utils
from flwr.server.superlink.linkstate import LinkState
from flwr.superlink.servicer.fleet import fleet_handlers

EVERY = 0.1  # seconds
ENDED = frozenset({Status.PENDING, Status.STARTING, Status.FINISHED})


def install() -> None:
    """Let the Fleet API's handlers take a run that went on a moment ago for one that goes on."""
    stock = utils.check_abort

    @wraps(stock)
    def check_abort(run_id: int, abort_status_list: list[str], state: LinkState) -> str | None:
        went_on: dict[int, float] = vars(state).setdefault("_went_on", {})
        now = monotonic()
        if frozenset(abort_status_list) <= ENDED and now - went_on.get(run_id, float("-inf")) < EVERY:
            return None
        reason = stock(run_id, abort_status_list, state)
        if reason is None and frozenset(abort_status_list) == ENDED:
            went_on[run_id] = now
        else:
            went_on.pop(run_id, None)
        return reason

    vars(fleet_handlers)["check_abort"] = check_abort
