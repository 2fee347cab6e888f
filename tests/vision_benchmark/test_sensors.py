"""What boards say of temperature and power."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vision_benchmark import sensors

ORIN = (
    "06-18-2025 11:25:24 RAM 3452/7620MB (lfb 25x4MB) SWAP 1518/16384MB (cached 174MB) CPU [1%@1420,2%@1420] "
    "GR3D_FREQ 0% cpu@50.031C soc2@49.031C soc0@50C gpu@49.031C tj@50.25C soc1@50.25C VDD_IN 4824mW/4810mW "
    "VDD_CPU_GPU_CV 518mW/518mW VDD_SOC 1475mW/1475mW"
)
JETPACK7 = (
    "RAM 1/2MB GR3D_FREQ 12%@[1300,1300] cpu@52.968C/52.968C tj@53C/53C gpu@-256C VDD_GPU_SOC 1475mW/1475mW/1475mW "
    "VDD_IN 5139mW/5139mW/5139mW"
)
NANO = "GR3D_FREQ 63%@[621] PLL@26C CPU@29C PMIC@100C GPU@28.5C thermal@29C POM_5V_IN 933/940 POM_5V_GPU 40/40"
PI5 = """
   3V7_WL_SW_A current(0)=0.10000000A
   VDD_CORE_A current(7)=2.00000000A
   3V7_WL_SW_V volt(8)=3.70000000V
   VDD_CORE_V volt(15)=0.75000000V
   EXT5V_V volt(24)=5.15000000V
"""


@pytest.mark.parametrize(
    ("line", "degrees", "watts"),
    [(ORIN, 50.25, 4.824), (JETPACK7, 53.0, 5.139), (NANO, 29.0, 0.933), ("RAM 1/2MB", None, None)],
)
def test_a_line_of_tegrastats(line: str, degrees: float | None, watts: float | None) -> None:
    assert sensors.parse_tegrastats(line) == (degrees, watts)


def test_a_pi_5s_power_is_the_sum_of_its_rails() -> None:
    assert sensors.parse_pmic(PI5) == pytest.approx(0.1 * 3.7 + 2 * 0.75)
    assert sensors.parse_pmic('error=1 error_msg="Command not registered"') is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(None, None, ""), (0, 0, "0x0"), (0x50000, 0x50000, "0x0"), (0x50000, 0x50005, "0x5"), (0, 0x50005, "0x50005")],
)
def test_only_what_came_up_meanwhile_counts(before: int | None, after: int | None, said: str) -> None:
    assert sensors.throttled_since(before, after) == said


def test_what_was_read_in_a_time_is_what_counts() -> None:
    watched = sensors.Sensors()
    watched._samples = [
        sensors.Sample(1, 40.0, 2.0),
        sensors.Sample(2, 60.0, 4.0),
        sensors.Sample(3, 50.0, None),
        sensors.Sample(4, 70.0, 6.0),
    ]
    assert watched.hottest(1.5, 3.5) == 60.0
    assert watched.mean_watts(0, 3) == 3.0
    assert watched.mean_watts(4.1, 4.3) == 6.0  # too short for a sample of its own
    assert watched.hottest(9, 10) is None


def test_a_command_is_watched_and_ends_with_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "tegrastats"
    tool.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nwhile :; do echo '{ORIN}'; sleep 0.05; done\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    watched = sensors.Sensors(interval=0.05)
    begun = time.time()
    watched.start()
    limit = time.monotonic() + 20
    while watched.mean_watts(begun, time.time()) is None and time.monotonic() < limit:
        time.sleep(0.02)
    watched.stop()
    assert watched.mean_watts(begun, time.time()) == 4.824
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
