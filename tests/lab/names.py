"""Names, addresses and folders of one lab, all derived from its name and subnet."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError

REPOSITORY = Path(__file__).resolve().parents[2]
STATE = REPOSITORY / ".lab"
DEFAULT_NAME = "lab"
DEFAULT_SUBNET = "10.213.0.0/24"
LAB_NAME = re.compile(r"[a-z][a-z0-9]{0,7}")
FIRST_HOST = 11


@dataclass(frozen=True)
class Names:
    """What one lab calls its things.

    Attributes:
        lab: the lab's name, up to 8 of a-z and 0-9 (an interface's name holds 15).
        subnet: a private IPv4 /24; the bridge is its .1, the hosts are .11 and up.
        folder: the lab's own folder; everything it writes on disk, but for the cache, is in it.
    """

    lab: str
    subnet: ipaddress.IPv4Network
    folder: Path

    @property
    def bridge(self) -> str:
        """The bridge that all hosts and the controller are on."""
        return f"fb-{self.lab}"

    @property
    def lock(self) -> Path:
        """The file that is locked while the lab is made or removed; no other stays beside the folder."""
        return self.folder.with_name(f"{self.lab}.lock")

    @property
    def connections(self) -> Path:
        """The folder of the connections that Ansible keeps open."""
        return self.folder / "cp"

    @property
    def table(self) -> str:
        """The nftables table, of the families ip (NAT) and bridge (faults)."""
        return f"flowerbed_{self.lab}"

    @property
    def gateway(self) -> str:
        """The controller's address on the bridge."""
        return str(self.subnet[1])

    def address(self, index: int) -> str:
        """The address of the fleet's host number `index`, from 0."""
        return str(self.subnet[FIRST_HOST + index])

    @staticmethod
    def mac(address: str) -> str:
        """A fixed, locally administered MAC: neighbours find a host that was made again at once."""
        return "02:fb:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed)

    def interface(self, index: int) -> str:
        """The controller's end of a host's cable."""
        return f"fb-{self.lab}-{index}"

    def namespace(self, host: str) -> str:
        """The network namespace of a host."""
        return f"fb-{self.lab}-{host}"

    def cgroup(self, host: str) -> str:
        """The control group of a host, below the lab's own."""
        return f"flowerbed_{self.lab}/{host}"  # a dash would nest systemd slices


def parse(lab: str, subnet: str, state: Path | None = None) -> Names:
    """Check a lab's name and subnet.

    Raises:
        LabError: the name or the subnet cannot be used.
    """
    if not LAB_NAME.fullmatch(lab):
        raise LabError(f"name must be 1 to 8 of a-z and 0-9, from a letter on, not {lab!r}")
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise LabError(f"subnet {subnet!r}: {error}") from None
    if network.prefixlen != 24 or not network.is_private:
        raise LabError(f"subnet must be a private /24 such as {DEFAULT_SUBNET}, not {subnet}")
    return Names(lab, network, (state or STATE) / lab)
