"""fleet.cids: every device keeps its number."""

from __future__ import annotations

import pytest

from fleet.cids import assign
from fleet.settings import SettingError


def test_numbers_in_the_inventorys_order_at_first() -> None:
    assert assign(["a", "b", "c"], {}, {}) == {"a": 0, "b": 1, "c": 2}


def test_kept_when_lines_are_added_above() -> None:
    first = assign(["a", "b"], {}, {})
    assert assign(["new", "a", "b"], {}, first) == {"new": 2, "a": 0, "b": 1}


def test_kept_when_lines_change_places() -> None:
    assert assign(["b", "a"], {}, {"a": 0, "b": 1}) == {"b": 1, "a": 0}


def test_inventory_wins_over_what_was_given_earlier() -> None:
    assert assign(["a", "b"], {"a": 7}, {"a": 0, "b": 1}) == {"a": 7, "b": 1}


def test_new_hosts_fill_gaps_that_the_inventory_leaves() -> None:
    assert assign(["a", "b", "c"], {"a": 1}, {}) == {"a": 1, "b": 0, "c": 2}


def test_the_number_of_a_departed_host_is_not_given_again() -> None:
    assert assign(["b", "c"], {}, {"a": 0, "b": 1}) == {"b": 1, "c": 2}


def test_a_departed_host_gets_its_number_back() -> None:
    remembered = {"a": 0, "b": 1, "c": 2}
    assert assign(["a", "b", "c"], {}, remembered) == remembered


@pytest.mark.parametrize("given", ["7", 7])
def test_takes_whole_numbers(given: object) -> None:
    assert assign(["a"], {"a": given}, {}) == {"a": 7}


@pytest.mark.parametrize("given", [-1, "-1", 1.5, "1.0", "one", "", None, True, [1], "٣"])
def test_refuses_what_is_no_number(given: object) -> None:
    with pytest.raises(SettingError) as caught:
        assign(["pi4"], {"pi4": given}, {})
    assert str(caught.value) == f"cid={given} (inventory, host pi4) is not allowed; allowed: a whole number from 0"


def test_refuses_two_equal_in_the_inventory() -> None:
    with pytest.raises(SettingError) as caught:
        assign(["a", "b"], {"a": 3, "b": "3"}, {})
    assert str(caught.value).startswith("cid=3 is held by a (inventory) and b (inventory);")


def test_refuses_one_in_the_inventory_that_another_host_keeps() -> None:
    with pytest.raises(SettingError, match=r"cid=0 is held by new \(inventory\) and a \(given to it earlier\)"):
        assign(["new", "a"], {"new": 0}, {"a": 0})
