"""Each device's cid: its number in the fleet and its partition of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fleet.settings import SettingError


def assign(hosts: Sequence[str], inventory: Mapping[str, object], remembered: Mapping[str, int]) -> dict[str, int]:
    """Return the cid of every host, in the hosts' order.

    A cid in the inventory wins; else a host keeps the one that it was first given (`remembered`); else it gets the
    lowest that nobody has or had. Raises SettingError for one that is no whole number from 0, and for two that are
    equal.
    """
    cids: dict[str, int] = {}
    for host in hosts:
        if host in inventory:
            cids[host] = _checked(host, inventory[host])
        elif host in remembered:
            cids[host] = remembered[host]
    _refuse_equal(cids, inventory)
    taken = set(cids.values()) | set(remembered.values())
    for host in hosts:
        if host not in cids:
            cids[host] = next(number for number in range(len(taken) + 1) if number not in taken)
            taken.add(cids[host])
    return {host: cids[host] for host in hosts}


def _checked(host: str, given: object) -> int:
    text = str(given)
    if isinstance(given, bool) or not text.isascii() or not text.isdecimal():
        raise SettingError(f"cid={given} (inventory, host {host}) is not allowed; allowed: a whole number from 0")
    return int(text)


def _refuse_equal(cids: Mapping[str, int], inventory: Mapping[str, object]) -> None:
    holders: dict[int, str] = {}
    for host, cid in cids.items():
        if cid in holders:
            pair = " and ".join(
                f"{name} ({'inventory' if name in inventory else 'given to it earlier'})"
                for name in (holders[cid], host)
            )
            raise SettingError(f"cid={cid} is held by {pair}; allowed: a cid for each device that no other has")
        holders[cid] = host
