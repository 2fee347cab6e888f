"""How numbers read."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from fleet.report import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0.4123, "0.412"),
        (12.3456, "12.346"),
        (123456.0, "1.23e+05"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_number(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (math.nan, "-"),
        (0.04, "0.0 s"),
        (6.14, "6.1 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (3725, "1 h 02 min"),
    ],
)
def test_seconds(value: float | None, shown: str) -> None:
    assert text.seconds(value).replace("\u00a0", " ") == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (999, "999 B"), (1000, "1 kB"), (1_234_567, "1.23 MB"), (999_700, "1 MB"), (5e12, "5 TB")],
)
def test_size(value: float | None, shown: str) -> None:
    assert text.size(value).replace("\u00a0", " ") == shown


def test_the_others() -> None:
    assert text.percent(0.9731) == "97.3\u00a0%"
    assert text.percent(None) == "-"
    assert text.count(4000) == "4,000"
    assert (text.megabytes(7883.2), text.megabytes(None)) == ("7,883\u00a0MB", "-")
    assert text.moment(datetime(2026, 11, 2, 3, 20, tzinfo=UTC)) == "2 Nov 2026, 03:20 UTC"
    assert text.plural(1, "device") == "1 device"
    assert text.plural(4000, "device") == "4,000 devices"
    assert (text.answered(3, 1), text.answered(3, None), text.answered(None, 1)) == ("3/4", "3/3", "-")
