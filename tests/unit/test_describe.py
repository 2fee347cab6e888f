"""roles/run/files/describe.py, which runs on each host: what it trains in, and on which GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unit.driving import errors, run_play
from waits import wait_for

DESCRIBE = Path(__file__).resolve().parents[2] / "roles/run/files/describe.py"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder


def asked(python: Path, services: dict[str, tuple[str, Path]], image: Path = Path("none")) -> dict[str, Any]:
    """Ask with files of supervisor's, as a fleet without root has them."""
    question = {"device_tree": "none", "image": str(image), "units": None, "services": services}
    command = [str(python), str(DESCRIBE), json.dumps(question, default=str)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def described(
    environment: Path, image: Path, service: str = "supernode", home: Path = Path("none")
) -> dict[str, object]:
    found: dict[str, object] = asked(environment / "bin/python", {"pi": (service, home)}, image)["hosts"]["pi"]
    return found


def programs(home: Path) -> Path:
    folder = home / "supervisor/programs"
    folder.mkdir(parents=True)
    return folder


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
def test_the_service_tells_what_the_host_was_provisioned_with(tmp_path: Path, line: str, framework: str | None) -> None:
    (programs(tmp_path) / "supernode.conf").write_text(f"{line}\n")
    found = described(Path(sys.prefix), tmp_path / "none", home=tmp_path)
    # A supervisord that is not there runs nothing.
    assert (found["provisioned"], found["framework"], found["service_age"]) == (True, framework, None)


def test_a_host_without_its_service_is_not_provisioned(environment: Path, tmp_path: Path) -> None:
    assert described(environment, tmp_path / "none", home=tmp_path)["provisioned"] is False


def test_apps_that_have_a_user_of_their_own_have_a_unit_too(environment: Path, tmp_path: Path) -> None:
    def isolation(service: str) -> object:
        return described(environment, tmp_path / "none", service, tmp_path)["isolation"]

    folder = programs(tmp_path)
    assert isolation("supernode") == "subprocess"
    (folder / "clientapps.service").touch()
    assert isolation("supernode") == "process"
    assert isolation("superlink") is None


def test_its_facts_are_those_of_ansible(environment: Path) -> None:
    """One name of a run is one value, whichever of the two asked for it."""
    given = {"ANSIBLE_MODULE_ARGS": {"gather_subset": ["!all", "!min", "hardware", "platform"]}}
    command = [sys.executable, "-m", "ansible.modules.setup"]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True)
    module = json.loads(done.stdout)
    facts = asked(environment / "bin/python", {})["facts"]
    names = ("architecture", "processor_nproc", "memtotal_mb", "swaptotal_mb")
    assert {name: facts[name] for name in names} == {name: module["ansible_facts"][f"ansible_{name}"] for name in names}


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Path]:
    """A supervisord as a fleet without root has it, with a program that runs and one that is down."""
    folder = programs(tmp_path).parent
    for name, starts in (("superlink", "true"), ("supernode", "false")):
        (folder / f"programs/{name}.conf").write_text(
            f"[program:{name}]\ncommand=sleep 600\nautostart={starts}\nstartsecs=0\n"
        )
    with tempfile.TemporaryDirectory() as short:  # a socket's path may have 100 characters
        (folder / "supervisord.conf").write_text(
            f"[supervisord]\nlogfile={folder}/log\npidfile={folder}/pid\nchildlogdir={folder}\nnodaemon=true\n"
            f"[unix_http_server]\nfile={short}/socket\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            "[include]\nfiles=programs/*.conf\n"
        )
        command = [f"{sys.prefix}/bin/supervisord", "-c", f"{folder}/supervisord.conf"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                yield tmp_path
            finally:
                process.terminate()


def test_supervisor_is_asked_what_runs(supervisor: Path) -> None:
    def ages() -> dict[str, float | None]:
        services = {name: (name, supervisor) for name in ("superlink", "supernode")}
        return {name: host["service_age"] for name, host in asked(Path(sys.executable), services)["hosts"].items()}

    wait_for(lambda: ages()["superlink"] is not None, "the program that runs")
    assert ages()["supernode"] is None


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ({"rc": 127, "stdout": "Welcome!\n", "stderr": "sh: 1: /usr/bin/python3: not found\n"}, "python3: not found"),
        ({"failed": True, "msg": "Missing sudo password"}, "Missing sudo password"),
    ],
)
def test_a_host_that_tells_nothing_is_named_with_what_it_said(
    tmp_path: Path, answer: dict[str, Any], line: str
) -> None:
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.set_fact": {"run_asked": answer}},
        {"ansible.builtin.include_role": {"name": "run", "tasks_from": "describe"}},
    ]
    (said,) = errors(run_play(tmp_path, tasks))
    assert said.startswith("localhost does not say what it is: ")
    assert line in said


def test_what_a_login_shell_says_before_it_is_left_out(tmp_path: Path) -> None:
    host = {"provisioned": False}
    told = "Welcome! {not JSON\n" + json.dumps({"facts": {"memtotal_mb": 1}, "hosts": {"localhost": host}}) + "\n"
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.set_fact": {"run_asked": {"rc": 0, "stdout": told, "stderr": ""}}},
        {"ansible.builtin.include_role": {"name": "run", "tasks_from": "describe"}},
    ]
    (said,) = errors(run_play(tmp_path, tasks))
    assert said == "localhost is not provisioned; run: ansible-playbook playbooks/provision.yml"
