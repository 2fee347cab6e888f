"""Faults of single hosts and of the network between them, made for real and taken back."""

from __future__ import annotations

from typing import TypedDict

from . import network, nft, registries
from .errors import LabError, run
from .host import PATIENCE
from .inside import FILL_DISK, TAKE_MEMORY
from .lab import Lab
from .state import read_json, write_json
from .waiting import wait_for

LINKS = "faults.json"
FILLER = "/var/tmp/lab-fill"
MEMORY_UNIT = "lab-memory"


class Links(TypedDict):
    """The present faults of the network, by interface: they are one firewall table, replaced whole."""

    loss: dict[str, float]
    cuts: list[list[str]]


class Faults:
    """The faults of a lab's hosts; every method names its host by the fleet's name.

    All raise LabError where the lab has no such host, or the host does not run and would have to.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def kill(self, host: str) -> None:
        """Cut a host's power: every process ends at once, its disk stays as it is."""
        self.lab.host(host).group.kill()
        self.pull(host)  # its address would refuse connections else, as only a live host does

    def start(self, host: str, timeout: float = PATIENCE) -> None:
        """Switch a host on again and wait for its ssh."""
        target = self.lab.host(host)
        if target.group.processes():
            raise LabError(f"host {host} is on already")
        self.plug(host)
        self.lab.start(target)
        target.wait_ssh(timeout)

    def reboot(self, host: str, timeout: float = PATIENCE) -> None:
        """Reboot a host as its own `reboot` does, and wait for its ssh."""
        target = self.lab.host(host)
        before = target.leader()
        target.reboot()
        wait_for(lambda: before not in target.group.processes(), timeout, f"host {host} did not go down")
        target.wait_ssh(timeout)

    def freeze(self, host: str) -> None:
        """Stop every process of a host, as a board that hangs: connections stay open and nothing answers."""
        self.lab.host(host).group.freeze(True)

    def thaw(self, host: str) -> None:
        """Let a frozen host go on."""
        self.lab.host(host).group.freeze(False)

    def pull(self, host: str) -> None:
        """Pull a host's network cable."""
        self._cable(host, "down")

    def plug(self, host: str) -> None:
        """Plug the cable in again."""
        self._cable(host, "up")

    def _cable(self, host: str, state: str) -> None:
        run(["ip", "link", "set", self._interface(host), state])

    def cut(self, one: str, other: str) -> None:
        """Let two hosts hear each other no more; both still reach everybody else."""
        pair = [self._interface(one), self._interface(other)]
        links = self._links()
        links["cuts"] = [cut for cut in links["cuts"] if set(cut) != set(pair)] + [pair]
        self._apply(links)

    def heal(self, one: str, other: str) -> None:
        """Let two hosts hear each other again."""
        pair = {self._interface(one), self._interface(other)}
        links = self._links()
        links["cuts"] = [cut for cut in links["cuts"] if set(cut) != pair]
        self._apply(links)

    def loss(self, host: str, percent: float) -> None:
        """Lose a share of the packets to a host and of those from it; 0 ends it."""
        if not 0 <= percent <= 100:
            raise LabError(f"loss must be from 0 to 100 per cent, not {percent:g}")
        links = self._links()
        links["loss"][self._interface(host)] = percent
        self._apply(links)

    def _links(self) -> Links:
        links: Links = read_json(self.lab.folder / LINKS, {"loss": {}, "cuts": []})
        return links

    def _apply(self, links: Links) -> None:
        write_json(self.lab.folder / LINKS, links)
        cuts = [(one, other) for one, other in links["cuts"]]
        nft.load(nft.faults(self.lab.names, links["loss"], cuts))

    def rate(self, host: str, kbit: int) -> None:
        """Limit what a host sends and receives to kbit/s each; 0 ends it."""
        limit = ["tbf", "rate", f"{kbit}kbit", "burst", "32kb", "latency", "400ms"]
        action, rule = ("replace", limit) if kbit > 0 else ("delete", [])
        present = kbit > 0  # without a limit there is nothing to end
        run(["tc", "qdisc", action, "dev", self._interface(host), "root", *rule], check=present)
        self.lab.host(host).shape("qdisc", action, "dev", network.CABLE, "root", *rule, check=present)

    def fill_disk(self, host: str, leave: int) -> None:
        """Fill a host's disk but for `leave` MiB. The machine's own disk is not used up by it."""
        self.free_disk(host)
        target = self.lab.host(host)
        size = int(target.exec("df", "--output=avail", "--block-size=1", "/").split()[-1]) - leave * 2**20
        if size > 0:
            target.exec("sh", "-c", FILL_DISK, "sh", str(size), FILLER)

    def free_disk(self, host: str) -> None:
        """Take the filler away."""
        self.lab.host(host).exec("rm", "--force", FILLER)

    def take_memory(self, host: str, leave: int) -> None:
        """Take a host's available memory but for `leave` MiB, until :meth:`give_memory` or a reboot."""
        self.give_memory(host)
        self.lab.host(host).exec(
            "systemd-run", "--quiet", f"--unit={MEMORY_UNIT}", "--collect", "--property=Type=notify",
            "--property=NotifyAccess=all", "--property=OOMPolicy=continue",
            "/usr/bin/python3", "-c", TAKE_MEMORY, str(leave),
        )  # fmt: skip

    def give_memory(self, host: str) -> None:
        """Give the memory back."""
        target = self.lab.host(host)
        if "inactive" not in target.exec("sh", "-c", f"systemctl is-active {MEMORY_UNIT} || true"):
            target.exec("systemctl", "stop", MEMORY_UNIT)

    def clock(self, host: str, seconds: float) -> None:
        """Move a host's clock by so many seconds from the right time; 0 sets it right.

        A container has the machine's clock: libfaketime moves it for each program that is started from then on,
        in new SSH sessions too. A service that runs has to be restarted to see it. A reboot sets it right.
        A virtual machine has a clock of its own.
        """
        self.lab.host(host).move_clock(seconds)

    def reflash(self, host: str, timeout: float = PATIENCE) -> None:
        """Give a host a fresh disk and new host keys, as a new SD card does; clients know the old keys still.

        :meth:`lab.lab.Lab.write_known_hosts` makes them known.
        """
        target = self.lab.host(host)
        self.kill(host)
        target.unmount()
        target.make_host_key()
        self.lab.install(target, registries.find())
        self.start(host, timeout)

    def _interface(self, host: str) -> str:
        return self.lab.names.interface(self.lab.host(host).index)
