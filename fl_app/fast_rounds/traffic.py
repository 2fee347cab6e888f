"""The bytes of a run's messages are added up, and written to a SuperLink's database twice a second.

Stock writes them for each object. Whoever asks for a run is told all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from threading import Lock, Timer
from typing import Any

from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState

EVERY = 0.5  # seconds
Write = Callable[..., None]


class _Sums:
    """Bytes sent and received, by run, that are not written yet.

    Who adds some may be in a transaction, for whose end a write waits: so nobody adds under the lock of a write.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._bytes: dict[int, tuple[int, int]] = {}
        self._lock, self._writing = Lock(), Lock()
        self._timer: Timer | None = None

    def add(self, run_id: int, sent: int, received: int) -> None:
        """Add to a run's bytes; they are written within `EVERY` seconds."""
        with self._lock:
            self._add(run_id, sent, received)
            if self._timer is None:
                self._timer = Timer(EVERY, self.write)
                self._timer.daemon = True
                self._timer.start()

    def _add(self, run_id: int, sent: int, received: int) -> None:
        before = self._bytes.get(run_id, (0, 0))
        self._bytes[run_id] = (before[0] + sent, before[1] + received)

    def write(self) -> None:
        """Write what there is; what cannot be written, on a full disk, say, is tried again with the next bytes."""
        with self._writing:
            with self._lock:
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
                taken, self._bytes = self._bytes, {}
            try:
                while taken:
                    run_id, (sent, received) = taken.popitem()
                    try:
                        with suppress(ValueError):  # there is no such run
                            self._write(run_id, bytes_sent=sent, bytes_recv=received)
                    except BaseException:
                        taken[run_id] = (sent, received)
                        raise
            finally:
                with self._lock:
                    for run_id, (sent, received) in taken.items():
                        self._add(run_id, sent, received)


def install() -> None:
    """Let a SuperLink write the bytes of its messages now and then."""
    stock_store, stock_info = SqlLinkState.store_traffic, SqlLinkState.get_run_info

    def sums(state: SqlLinkState) -> _Sums:
        found: _Sums = vars(state).setdefault("_traffic", _Sums(partial(stock_store, state)))
        return found

    @wraps(stock_store)
    def store_traffic(self: SqlLinkState, run_id: int, *, bytes_sent: int, bytes_recv: int) -> None:
        if bytes_sent < 0 or bytes_recv < 0 or bytes_sent == bytes_recv == 0:
            stock_store(self, run_id, bytes_sent=bytes_sent, bytes_recv=bytes_recv)  # raises
        sums(self).add(run_id, bytes_sent, bytes_recv)

    @wraps(stock_info)
    def get_run_info(self: SqlLinkState, *args: Any, **words: Any) -> Any:
        sums(self).write()
        return stock_info(self, *args, **words)

    SqlLinkState.store_traffic = store_traffic  # type: ignore[method-assign]
    SqlLinkState.get_run_info = get_run_info  # type: ignore[method-assign]
