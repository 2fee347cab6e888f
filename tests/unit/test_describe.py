"""roles/run/files/describe.py, which runs on each host: what it trains in, and on which GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DESCRIBE = Path(__file__).resolve().parents[2] / "roles/run/files/describe.py"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder


def described(environment: Path, image: Path, service: Path = Path("none")) -> dict[str, object]:
    command = [environment / "bin/python", DESCRIBE, service, environment / "none", image]
    found: dict[str, object] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def test_an_environment_has_the_gpu_of_the_last_batch_that_was_tried_there(environment: Path, tmp_path: Path) -> None:
    assert described(environment, tmp_path / "none")["gpu"] is None
    for age, (name, gpu) in enumerate({"runs-b": "Thor", "runs-a": "before"}.items()):
        (environment / f"{name}.json").write_text(json.dumps({"gpu": gpu}))
        os.utime(environment / f"{name}.json", (1000 - age, 1000 - age))
    found = described(environment, tmp_path / "none")
    assert (found["runtime"], found["gpu"], found["torch"]) == ("venv", "Thor", None)


def test_an_image_tells_its_own_versions(environment: Path, tmp_path: Path) -> None:
    image = tmp_path / "container.json"
    image.write_text(json.dumps({"python": "3.12.3", "flwr": "1.41.0", "torch": "2.6.0", "gpu": "Orin", "image": "x"}))
    found = described(environment, image)
    assert {key: found[key] for key in ("runtime", "python", "torch", "gpu")} == {
        "runtime": "container",
        "python": "3.12.3",
        "torch": "2.6.0",
        "gpu": "Orin",
    }


@pytest.mark.parametrize(
    ("line", "framework"),
    [
        ('Environment="FLEET_FRAMEWORK=tensorflow"', "tensorflow"),
        ('ExecStart="/usr/bin/docker" "run" "--env=FLEET_FRAMEWORK=torch" "image"', "torch"),
        ("ExecStart=/bin/true", None),
    ],
)
def test_the_unit_tells_what_the_host_was_provisioned_with(
    environment: Path, tmp_path: Path, line: str, framework: str | None
) -> None:
    unit = tmp_path / "flowerbed-none.service"
    unit.write_text(f"[Service]\n{line}\n")
    found = described(environment, tmp_path / "none", unit)
    assert (found["provisioned"], found["framework"]) == (True, framework)


def test_apps_that_have_a_user_of_their_own_have_a_unit_too(environment: Path, tmp_path: Path) -> None:
    def isolation(service: str) -> object:
        return described(environment, tmp_path / "none", tmp_path / service)["isolation"]

    assert isolation("supernode.service") == "subprocess"
    (tmp_path / "clientapps.service").touch()
    assert isolation("supernode.service") == "process"
    assert isolation("superlink.service") is None
