"""The lab's network: a bridge with the controller on it, and for each host a namespace with a cable to it."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from . import nft
from .errors import LabError, run
from .names import Names
from .registries import Registries
from .state import SharedSettings

FORWARDING = "/proc/sys/net/ipv4/conf/{}/forwarding"
NAMESPACES = Path("/run/netns")
CABLE = "eth0"  # a host's end


def taken(names: Names) -> str | None:
    """Return what stands in the way of this lab's names and subnet, or nothing."""
    if _link(names.bridge):
        return f"the interface {names.bridge} is there already; choose another --name"
    for address in json.loads(run(["ip", "-4", "-json", "address"]).stdout):
        for entry in address["addr_info"]:
            network = ipaddress.IPv4Interface(f"{entry['local']}/{entry['prefixlen']}").network
            if network.overlaps(names.subnet):
                return f"{names.subnet} is taken by {network} on {address['ifname']}; choose another --subnet"
    for route in json.loads(run(["ip", "-4", "-json", "route"]).stdout):
        if route["dst"] != "default" and ipaddress.IPv4Network(route["dst"]).overlaps(names.subnet):
            return f"{names.subnet} is taken by the route to {route['dst']}; choose another --subnet"
    if NAMESPACES.is_dir():
        for place in NAMESPACES.glob(f"fb-{names.lab}-*"):
            return f"the network namespace {place.name} is there already; choose another --name"
    return None


def free_subnet() -> ipaddress.IPv4Network:
    """Return a /24 that this machine does not use, for labs beside others.

    Raises:
        LabError: there is none.
    """
    for network in ipaddress.IPv4Network("10.213.0.0/16").subnets(new_prefix=24):
        if taken(Names("probe", network, Path())) is None:
            return network
    raise LabError("every /24 of 10.213.0.0/16 is taken; name a free --subnet")


def up(names: Names, registries: Registries, settings: SharedSettings) -> None:
    """Make the bridge, and the way from it to the package registries and nowhere else."""
    # Without an address of its own a bridge takes that of a port, another one each time a host comes or goes.
    fixed = ["address", names.mac(names.gateway)]
    run(["ip", "link", "add", names.bridge, *fixed, "type", "bridge", "forward_delay", "0", "stp_state", "0"])
    run(["ip", "address", "add", f"{names.gateway}/24", "dev", names.bridge])
    run(["ip", "link", "set", names.bridge, "up"])
    settings.hold({Path(FORWARDING.format(name)): "1" for name in [names.bridge, *_uplinks()]})
    nft.load(nft.nat(names, registries.resolvers))


def _uplinks() -> list[str]:
    routes = json.loads(run(["ip", "-4", "-json", "route", "show", "default"]).stdout)
    return sorted({route["dev"] for route in routes})


def connect_machine(names: Names, index: int) -> None:
    """Make the cable of a virtual machine, which sets its address itself."""
    outer = names.interface(index)
    run(["ip", "tuntap", "add", "dev", outer, "mode", "tap"])
    run(["ip", "link", "set", outer, "master", names.bridge, "up"])


def connect(names: Names, index: int, host: str) -> None:
    """Make a host's namespace, with its cable plugged in and its address set."""
    space, outer = names.namespace(host), names.interface(index)
    run(["ip", "netns", "add", space])
    run([
        "ip", "link", "add", outer, "type", "veth",
        "peer", "name", CABLE, "address", names.mac(names.address(index)), "netns", space,
    ])  # fmt: skip
    run(["ip", "link", "set", outer, "master", names.bridge, "up"])
    batch = [
        "link set lo up",
        f"address add {names.address(index)}/24 dev {CABLE}",
        f"link set {CABLE} up",
        f"route add default via {names.gateway}",
    ]
    run(["ip", "-netns", space, "-batch", "-"], stdin="\n".join(batch) + "\n")


def disconnect(names: Names, index: int, host: str) -> None:
    """Remove a host's cable and namespace, as far as they are there."""
    if _link(names.interface(index)):
        run(["ip", "link", "delete", names.interface(index)])
    if (NAMESPACES / names.namespace(host)).exists():
        run(["ip", "netns", "delete", names.namespace(host)])


def down(names: Names) -> None:
    """Remove the firewall tables and the bridge, as far as they are there."""
    nft.delete(names)
    if _link(names.bridge):
        run(["ip", "link", "delete", names.bridge])


def _link(name: str) -> bool:
    return Path("/sys/class/net", name).exists()
