"""What the board says of itself while it measures: temperature, power, and what its firmware held back.

Read from files of the kernel where they are, for these need no right; else asked of the vendor's commands: NVIDIA's
``tegrastats``, and the Raspberry Pi's ``vcgencmd`` (of a Pi 5, ``pmic_read_adc`` says volts and amperes of each rail).
"""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 1.0  # seconds
ZONES = Path("/sys/class/thermal")
FIRMWARE = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")  # of Raspberry Pi's kernels, in hexadecimal
TOTAL_RAILS = ("VDD_IN", "POM_5V_IN", "SYS5V", "VIN_SYS_5V0")  # what the whole board takes, by tegrastats' names


@dataclass(frozen=True)
class Sample:
    """What was read at a moment (seconds since the epoch); None where there is no such sensor."""

    time: float
    celsius: float | None
    watts: float | None


def parse_tegrastats(line: str) -> tuple[float | None, float | None]:
    """Return the highest temperature and the board's power of a line of tegrastats, in degrees and watts.

    Power is the first of a rail's numbers, the present one, in mW; Jetson Nanos leave the unit out.
    """
    degrees = [float(value) for value in re.findall(r"\w+@(-?[\d.]+)C\b", line)]
    degrees = [value for value in degrees if 0 < value < 100]  # sensors that are off say -256, the Nano's PMIC 100
    for rail in TOTAL_RAILS:
        if found := re.search(rf"\b{rail} (\d+)(?:mW)?/", line):
            return max(degrees, default=None), int(found[1]) / 1000
    return max(degrees, default=None), None


def parse_pmic(answer: str) -> float | None:
    """Return the watts of ``vcgencmd pmic_read_adc``: the sum of volts times amperes over the rails that say both.

    What the USB ports take is not in it.
    """
    volts = {name.removesuffix("_V"): value for name, value in _pairs(answer, "volt")}
    amperes = {name.removesuffix("_A"): value for name, value in _pairs(answer, "current")}
    both = volts.keys() & amperes.keys()
    return sum(volts[rail] * amperes[rail] for rail in both) if both else None


def _pairs(answer: str, kind: str) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in re.findall(rf"(\w+) {kind}\(\d+\)=([\d.]+)[VA]", answer)]


def ask(*command: str) -> str:
    """Return what a command prints; empty where there is none, or it fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""


def zone_celsius() -> float | None:
    """Return the highest temperature of the kernel's thermal zones."""
    found = []
    for path in ZONES.glob("thermal_zone*/temp"):
        try:
            found.append(int(path.read_text(encoding="ascii")) / 1000)
        except (OSError, ValueError):  # a sensor that is off cannot be read
            continue
    return max((value for value in found if 0 < value < 150), default=None)


def throttled() -> int | None:
    """Return the bits of what a Raspberry Pi's firmware holds or held back; None elsewhere."""
    try:
        return int(FIRMWARE.read_text(encoding="ascii"), 16)
    except (OSError, ValueError):
        found = re.fullmatch(r"throttled=(0x[0-9a-fA-F]+)", ask("vcgencmd", "get_throttled").strip())
        return int(found[1], 16) if found else None


def throttled_since(before: int | None, after: int | None) -> str:
    """Return the bits (0-3: now, 16-19: since the boot) that were not there before; empty where there is no sensor."""
    if after is None:
        return ""
    known = (before or 0) & 0xF0000
    return f"{after & ~known:#x}"


def power_mode() -> str | None:
    """Return the name of a Jetson's power mode; None elsewhere."""
    found = re.search(r"NV Power Mode: *(\S+)", ask("nvpmodel", "-q"))
    return found[1] if found else None


def vcgencmd_celsius() -> float | None:
    """Return the temperature that a Raspberry Pi's firmware says."""
    found = re.fullmatch(r"temp=([\d.]+)'C", ask("vcgencmd", "measure_temp").strip())
    return float(found[1]) if found else None


class Sensors:
    """Reads the board's sensors once a second, in a thread of its own."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._samples: list[Sample] = []
        self._stop = threading.Event()
        self._tegrastats: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and whatever was started for it."""
        self._stop.set()
        if self._tegrastats:
            self._tegrastats.terminate()
            self._tegrastats.wait()
        self._thread.join(timeout=15)

    def hottest(self, begin: float, end: float) -> float | None:
        """Return the highest temperature between two moments."""
        return max((s.celsius for s in self._between(begin, end) if s.celsius is not None), default=None)

    def mean_watts(self, begin: float, end: float) -> float | None:
        """Return the mean power between two moments."""
        watts = [s.watts for s in self._between(begin, end) if s.watts is not None]
        return sum(watts) / len(watts) if watts else None

    def _between(self, begin: float, end: float) -> list[Sample]:
        """Return the samples of a time; of one too short for any, the nearest that was read within three intervals."""
        near = [s for s in self._samples if begin <= s.time <= end]
        if near:
            return near
        nearest = min(self._samples, key=lambda s: abs(s.time - end), default=None)
        return [nearest] if nearest and abs(nearest.time - end) <= 3 * self._interval else []

    def _watch(self) -> None:
        if shutil.which("tegrastats"):
            self._watch_tegrastats()
        else:
            celsius = zone_celsius if zone_celsius() is not None else vcgencmd_celsius
            pmic = parse_pmic(ask("vcgencmd", "pmic_read_adc")) is not None
            self._watch_files(celsius, (lambda: parse_pmic(ask("vcgencmd", "pmic_read_adc"))) if pmic else None)

    def _watch_tegrastats(self) -> None:
        command = ["tegrastats", "--interval", str(round(1000 * self._interval))]
        self._tegrastats = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._tegrastats.stdout
        for line in self._tegrastats.stdout:
            celsius, watts = parse_tegrastats(line)
            self._samples.append(Sample(time.time(), celsius, watts))

    def _watch_files(self, celsius: Callable[[], float | None], watts: Callable[[], float | None] | None) -> None:
        while not self._stop.wait(self._interval):
            self._samples.append(Sample(time.time(), celsius(), watts() if watts else None))
