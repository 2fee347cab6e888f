"""Fifteen short rounds with a fault every few; tests/bench/soak.py has 200 of them."""

from __future__ import annotations

import pytest

from bench.soak import soak

from .conftest import LocalFleet


@pytest.mark.timeout(1700)
def test_fifteen_rounds_with_faults_lose_nothing(fleet: LocalFleet) -> None:
    kinds = ["freeze", "kill-app", "kill-serverapp"]  # what costs no minute
    said: list[str] = []
    wrong = soak(fleet, 15, seed=3, every=4, kinds=kinds, settled=5, limit=1500, say=said.append)
    assert wrong == [], said
    assert {line.split(": ")[1].split()[0] for line in said[1:]} == set(kinds)
