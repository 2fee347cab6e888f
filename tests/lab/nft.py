"""The lab's nftables tables: NAT to the package registries, and (family bridge) the network's faults."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from .errors import run
from .names import Names

REGISTRY_PORTS = "80, 443"
FROM_OUTSIDE = "from_outside"


def load(rules: str) -> None:
    """Give rules to the kernel, all or none."""
    run(["nft", "-f", "-"], stdin=rules)


def delete(names: Names) -> None:
    """Remove the lab's tables, as far as they are there."""
    present = run(["nft", "list", "tables"]).stdout.split("\n")
    for family in ("ip", "bridge"):
        if f"table {family} {names.table}" in present:
            run(["nft", "delete", "table", family, names.table])


def bytes_from_outside(names: Names) -> int:
    """Return how much the lab's hosts have received from outside the machine, in bytes, with all headers of IP."""
    listed = json.loads(run(["nft", "-j", "list", "counter", "ip", names.table, FROM_OUTSIDE]).stdout)["nftables"]
    return next(int(entry["counter"]["bytes"]) for entry in listed if "counter" in entry)


def nat(names: Names, resolvers: Iterable[str]) -> str:
    """Return the rules that let hosts reach web ports and the resolvers outside, and nothing else."""
    servers = ", ".join(resolvers)
    dns = f"ip daddr {{ {servers} }} meta l4proto {{ tcp, udp }} th dport 53 accept" if servers else ""
    return f"""
table ip {names.table} {{
  counter {FROM_OUTSIDE} {{ }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname != "{names.bridge}" oifname "{names.bridge}" counter name {FROM_OUTSIDE}
    iifname "{names.bridge}" oifname != "{names.bridge}" jump out
    iifname != "{names.bridge}" oifname "{names.bridge}" ct state new reject with icmp admin-prohibited
  }}
  chain out {{
    ct state established,related accept
    oifname "fb-*" reject with icmp admin-prohibited
    {dns}
    ip daddr != {{ 127.0.0.0/8, 169.254.0.0/16 }} tcp dport {{ {REGISTRY_PORTS} }} accept
    reject with icmp admin-prohibited
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {names.subnet} oifname != "{names.bridge}" masquerade
  }}
}}
"""


def faults(names: Names, loss: Mapping[str, float], cuts: Iterable[tuple[str, str]]) -> str:
    """Return the rules of the present faults; they replace the ones before.

    Args:
        names: the lab's names.
        loss: share of packets lost in each direction, in per cent, by a host's interface on the bridge.
        cuts: pairs of such interfaces that no longer hear each other.
    """
    forward = [f'iifname "{one}" oifname "{other}" drop' for pair in cuts for one, other in (pair, pair[::-1])]
    share = {name: round(percent * 100) for name, percent in loss.items() if percent > 0}
    arriving = [f'iifname "{name}" numgen random mod 10000 < {part} drop' for name, part in share.items()]
    leaving = [f'oifname "{name}" numgen random mod 10000 < {part} drop' for name, part in share.items()]
    table = f"table bridge {names.table}"
    return f"""
{table} {{ }}
delete {table}
{table} {{
  chain prerouting {{
    type filter hook prerouting priority filter; policy accept;
    {"; ".join(arriving)}
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    {"; ".join(forward)}
  }}
  chain postrouting {{
    type filter hook postrouting priority filter; policy accept;
    {"; ".join(leaving)}
  }}
}}
"""
