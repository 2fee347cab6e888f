"""How numbers read, in the report and in the terminal."""

from __future__ import annotations

import math
from datetime import datetime

MISSING = "-"


def number(value: float | None, digits: int = 3) -> str:
    """``0.412``; ``-`` for None, ``nan`` and ``inf`` as they are, 4 digits or more of a great one as ``1.23e+04``."""
    if value is None:
        return MISSING
    if math.isfinite(value) and abs(value) >= 10_000:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{digits}f}"


def count(value: float | None) -> str:
    """``4,000``; ``-`` for None."""
    return MISSING if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """``97.3 %`` for 0.973; ``-`` for None."""
    return MISSING if value is None else f"{100 * value:.1f}\u00a0%"


def seconds(value: float | None) -> str:
    """``6.1 s``, ``2 min 05 s`` or ``1 h 02 min``; ``-`` for None."""
    if value is None or not math.isfinite(value):
        return MISSING
    if round(value, 1) < 60:
        return f"{value:.1f}\u00a0s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest:02d}\u00a0s"
    return f"{minutes // 60}\u00a0h {minutes % 60:02d}\u00a0min"


def size(value: float | None) -> str:
    """``1.2 MB`` for 1,234,567 bytes (powers of 1000); ``-`` for None."""
    if value is None:
        return MISSING
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f}\u00a0B" if unit == "B" else f"{value:.3g}\u00a0{unit}"
        value /= 1000
    return f"{value:.3g}\u00a0TB"


def megabytes(value: float | None) -> str:
    """``7,883 MB`` for 7883.2, as the columns in MB hold it; ``-`` for None."""
    return MISSING if value is None else f"{value:,.0f}\u00a0MB"


def moment(value: datetime | None) -> str:
    """``22 Nov 2026, 03:20 UTC``; ``-`` for None."""
    return MISSING if value is None else f"{value.day} {value:%b %Y, %H:%M} UTC"


def plural(amount: int, one: str, many: str | None = None) -> str:
    """``1 device``, ``4 devices``."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def answered(devices: int | None, failures: int | None) -> str:
    """``3/4``: how many devices answered of those asked in a round; ``-`` where it is not known."""
    if devices is None:
        return MISSING
    return f"{devices}/{devices + (failures or 0)}"
