"""fleet.throttled: what the bits of a Raspberry Pi's firmware mean for a run."""

from __future__ import annotations

import pytest

from fleet import throttled


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("throttled=0x0\n", 0),
        ("throttled=0x50005", 0x50005),
        ("VCHI initialization failed", None),
        ("throttled=", None),
        ("", None),
    ],
)
def test_reads_an_answer(answer: str, value: int | None) -> None:
    assert throttled.bits(answer) == value


def test_says_at_the_start_what_is_and_what_was() -> None:
    assert throttled.at_start(0) == []
    assert throttled.at_start(0x50005) == ["under-voltage now", "throttled now"]
    assert throttled.at_start(0x90001) == ["under-voltage now", "too hot since it booted"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0, 0, []),
        (0, 0x10000, ["under-voltage"]),  # between two readings
        (0x10000, 0x10000, []),  # before the run already
        (0x10000, 0x10001, ["under-voltage"]),  # but at its end, too
        (0x10000, 0xE0008, ["CPU frequency capped", "throttled", "too hot"]),
        (None, 0x40000, ["throttled"]),
    ],
)
def test_says_what_came_up_in_a_run(before: int | None, after: int, said: list[str]) -> None:
    assert throttled.in_run(before, after) == said
