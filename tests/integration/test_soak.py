"""Fifteen short rounds with a fault every few; tests/bench/soak.py has 200 of them."""

from __future__ import annotations

import pytest

from bench.soak import soak

from .conftest import LocalFleet


@pytest.mark.timeout(900)
def test_fifteen_rounds_with_faults_lose_nothing(fleet: LocalFleet) -> None:
    kinds = ["freeze", "kill-app", "kill-serverapp"]  # what costs no minute
    said: list[str] = []
    wrong = soak(fleet, 15, 2, every=5, kinds=kinds, settled=5, limit=800, say=said.append)
    assert wrong == [], said
