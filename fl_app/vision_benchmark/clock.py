"""Time of each batch: a monotonic clock on the CPU, events of the GPU's own stream on CUDA."""

import time
from statistics import median, quantiles

import torch


class Clock:
    """Notes the end of each batch; ``milliseconds`` are the times between."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._events: list[torch.cuda.Event] = []
        self._times: list[float] = []

    def mark(self) -> None:
        """Note that a batch ended here; the first call notes the beginning."""
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._events.append(event)
        else:
            self._times.append(time.monotonic())

    def milliseconds(self) -> list[float]:
        """Return the time of each batch, after all of them have ended on the device."""
        if self._cuda:
            torch.cuda.synchronize()
            return [one.elapsed_time(next_) for one, next_ in zip(self._events, self._events[1:], strict=False)]
        return [1000 * (next_ - one) for one, next_ in zip(self._times, self._times[1:], strict=False)]


def middle_and_spread(milliseconds: list[float]) -> tuple[float, float]:
    """Return the median, and the distance between the quartiles (0 for a single batch)."""
    if len(milliseconds) < 2:
        return milliseconds[0], 0.0
    low, _, high = quantiles(milliseconds, n=4, method="inclusive")
    return median(milliseconds), high - low
