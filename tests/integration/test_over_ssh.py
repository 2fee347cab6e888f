"""Both playbooks as users run them, over SSH on virtual devices: a server on a host of its own, a Pi and a Jetson."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fastapi.routing import APIRoute
from flwr.supercore.routers.runtime.router import router as runtime
from flwr.superlink.routers.control.router import router as control
from flwr.superlink.routers.fleet.router import router as fleet_api

from lab.faults import Faults
from ports import free_ports
from waits import wait_for

from .conftest import ENVIRONMENT, PROJECT, changed_hosts, latest
from .labs import LabFleet

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root"),
    pytest.mark.timeout(1800),
]

NAMES = {"hub", "pi", "orin"}
FOREIGN_APP = PROJECT / "tests" / "integration" / "foreign_app"
VENV = "/opt/flowerbed/venv/bin"
ROUTES = [
    route.path for router in (control, fleet_api, runtime) for route in router.routes if isinstance(route, APIRoute)
]
OPEN = [
    f"/v1/fleet/{name}"
    for name in yaml.safe_load((PROJECT / "roles/gateway/vars/main.yml").read_text(encoding="utf-8"))["gateway_routes"]
]
CLOSED = [path for path in ROUTES if path not in OPEN]
ASK = """
import json, ssl, urllib.error, urllib.request
context = ssl.create_default_context(cafile="/var/lib/flowerbed/keys/ca.crt")
def status(path):
    try:
        request = urllib.request.Request("{address}" + path, b"", {{"Content-Type": "application/protobuf"}})
        return urllib.request.urlopen(request, context=context).status
    except urllib.error.HTTPError as error:
        return error.code
print(json.dumps({{path: status(path) for path in {paths}}}))
"""


@pytest.fixture(scope="module")
def fleet(fleet_over_ssh: LabFleet) -> LabFleet:
    return fleet_over_ssh


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_finished(fleet: LabFleet) -> Path:
    folder, record = latest(fleet)
    assert record["status"] == "finished"
    devices = [row["devices"] for row in rows(folder / "rounds.csv")]
    assert devices == ["2", "2"]
    assert {row["host"] for row in rows(folder / "devices.csv")} == {"pi", "orin"}
    assert (folder / "report.html").stat().st_size > 10_000
    for log in ("server/superlink", "server/serverapp", "pi/supernode", "orin/supernode"):
        assert (folder / "logs" / f"{log}.log").stat().st_size > 0
    return folder


def test_a_second_time_changes_nothing(fleet: LabFleet) -> None:
    done = fleet.play("provision", options=("--diff",))
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed_hosts(done.stdout) == dict.fromkeys([*NAMES, "localhost"], 0), done.stdout


def test_a_limit_names_devices_and_check_mode_holds(fleet: LabFleet) -> None:
    done = fleet.play("provision", options=("--check", "--diff", "--limit", "pi"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed_hosts(done.stdout) == {"localhost": 0, "hub": 0, "pi": 0}, done.stdout


def test_a_part_of_it_is_done_by_its_tag(fleet: LabFleet) -> None:
    fleet.lab.ssh("pi", "sudo rm /var/lib/flowerbed/fast_rounds.pyz")
    done = fleet.play("provision", options=("--tags", "system", "--limit", "pi"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed_hosts(done.stdout) == {"localhost": 0, "hub": 0, "pi": 0}, done.stdout
    done = fleet.play("provision", options=("--tags", "flower", "--limit", "pi"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed_hosts(done.stdout)["pi"] > 0, done.stdout


def test_the_servers_certificate_is_renewed(fleet: LabFleet) -> None:
    server = (fleet.lab.host("hub").address, 8000)
    before = ssl.get_server_certificate(server)
    looked = fleet.play("renew_certificates")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert set(changed_hosts(looked.stdout).values()) == {0}, looked.stdout
    done = fleet.play("renew_certificates", "renew=true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"the server's certificate counts until \d{4}-\d\d-\d\d, the CA's until", done.stdout)
    assert {host for host, count in changed_hosts(done.stdout).items() if count} == {"hub"}
    assert ssl.get_server_certificate(server) != before


def test_two_rounds(fleet: LabFleet) -> None:
    done = fleet.play("run_fl", "rounds=2", "epochs=1", "power_mode=25W", options=("--diff",))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^[+-]power mode: .*", done.stdout, re.MULTILINE) == [
        "-power mode: MAXN_SUPER",
        "+power mode: 25W",
        "-power mode: 25W",
        "+power mode: MAXN_SUPER",
    ]
    assert_finished(fleet)
    _, record = latest(fleet)
    hosts = {host["host"]: host for host in [record["server"], *record["devices"]]}
    assert hosts["pi"]["memory_mb"] <= 1024
    assert [device["isolation"] for device in record["devices"]] == ["process", "process"]
    folder = fleet.results / "latest"
    assert "Start `flwr-clientapp` process" in (folder / "logs/pi/supernode.log").read_text(encoding="utf-8")
    assert all("+cpu" in host["torch"] for host in hosts.values())  # no GPU, no 3 GB of CUDA


def test_every_device_is_benchmarked_side_by_side(fleet: LabFleet) -> None:
    models = ["resnet18", "mobilenetv3_small_100", "vit_tiny_patch16_224", "efficientvit_b0"]
    settings = (
        "steps=2",
        "batch_size=2",
        "input_shape=3,64,64",
        "num_classes=10",
        "num_images=16",
        "dataset=in_fs",
        "threads=1",
    )
    done = fleet.play("benchmark", f"models={','.join(models)},vit_base", *settings, "power_mode=25W")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {(row["host"], row["model"]): row for row in rows(fleet.results / "latest-benchmark" / "benchmark.csv")}
    for host, board in (("pi", "Raspberry Pi 4 Model B Rev 1.4"), ("orin", "NVIDIA Jetson Orin Nano")):
        for model in models:
            row = found[host, model]
            assert (row["status"], row["t_train"] != "", row["throttled"]) == (
                "ok",
                True,
                "0x0" if host == "pi" else "",
            )
            assert row["board"].startswith(board)
            assert 0 < float(row["temperature_max"]) < 100
            assert re.search(rf"^{host}  \d/5  {model}  train ", done.stdout, re.MULTILINE)
    # 87 million parameters and their gradients: too much for 1 GB with the SuperNode in it
    assert found["pi", "vit_base_patch16_224"]["status"] == "skipped"
    assert float(found["orin", "resnet18"]["power_w_mean"]) >= 4
    assert found["orin", "resnet18"]["power_mode"] == "25W"
    assert fleet.lab.ssh("orin", "sudo nvpmodel -q").split()[-1] == "2"
    for host in ("pi", "orin"):  # what was measured stays nowhere, and what rested meanwhile is up
        assert fleet.lab.ssh(host, "systemctl is-active supernode").strip() == "active"
        assert fleet.lab.ssh(host, "sudo ls /var/lib/flowerbed/benchmark") == ""


@pytest.mark.parametrize(
    ("host", "unit"), [("hub", "superlink"), ("hub", "gateway"), ("pi", "supernode"), ("pi", "clientapps")]
)
def test_units_are_locked_in(fleet: LabFleet, host: str, unit: str) -> None:
    fleet.lab.ssh(host, f"systemd-analyze security --no-pager --threshold=30 {unit}.service")  # of 100; fails above


def test_a_supernode_leaves_the_board_some_memory(fleet: LabFleet) -> None:
    total = int(fleet.lab.ssh("pi", "awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo"))
    slices = fleet.lab.ssh("pi", "systemctl show --value --property=Slice supernode clientapps").split()
    assert slices == ["flowerbed.slice"] * 2
    limit = fleet.lab.ssh("pi", "systemctl show --value --property=MemoryMax flowerbed.slice").strip()
    assert int(limit) == (total - 100) << 20


def test_an_app_cannot_have_what_is_the_supernodes(fleet: LabFleet) -> None:
    """The probe is started as apps are; what it finds is asserted for each attempt by the role supernode's scenario."""
    probe = (PROJECT / "tests/lab/molecule/probe.py").read_text(encoding="utf-8")
    fleet.lab.ssh("pi", f"sudo tee /usr/local/lib/probe.py >/dev/null <<'END'\n{probe}\nEND")
    left = "/var/lib/flowerbed-app/home/probe.json"
    order = f"{VENV}/python /var/lib/flowerbed/fast_rounds.pyz hand-over python /usr/local/lib/probe.py {left}"
    node = "$(systemctl show --property=MainPID --value supernode) 9094"
    fleet.lab.ssh("pi", f"sudo runuser -u fl -- env FAST_ROUNDS_APPS=/run/clientapps.sock {order} {node}", timeout=120)
    said = json.loads(fleet.lab.ssh("pi", f"sudo cat {left}; sudo rm {left} /usr/local/lib/probe.py"))
    assert {said[what] for what in ("key", "secret", "signal", "trace", "orders")} == {"PermissionError"}
    assert said["a task"] == "401"
    part = "sudo sh -c 'stat --format=%U /var/lib/flowerbed-app/data/*'"
    assert set(fleet.lab.ssh("pi", part).split()) == {"fl-app"}


def test_a_run_that_cannot_begin_puts_the_power_mode_back(fleet: LabFleet) -> None:
    other = "sudo systemctl daemon-reload && sudo systemctl restart supernode"
    place = "/run/systemd/system/supernode.service.d"
    sleeps = "[Service]\\nExecStart=\\nExecStart=/bin/sleep infinity\\n"
    fleet.lab.ssh("pi", f"sudo mkdir {place} && printf '{sleeps}' | sudo tee {place}/sleep.conf && {other}")
    done = fleet.play("run_fl", "rounds=1", "min_devices=2", "online_timeout=5", "power_mode=25W", options=("--diff",))
    fleet.lab.ssh("pi", f"sudo rm -r {place} && {other}")
    assert done.returncode != 0
    assert "1 of 2 devices" in done.stderr
    assert "+power mode: 25W" in done.stdout
    assert fleet.lab.ssh("orin", "sudo nvpmodel -q").split()[-1] == "2"
    refused = fleet.play("run_fl", "rounds=1", "power_mode=FAST")
    assert "orin: power_mode=FAST is no power mode of this board; allowed: 15W (0), 25W (1), MAXN" in refused.stderr


@pytest.fixture(scope="module")
def answers(fleet: LabFleet) -> dict[str, int]:
    """What a device's root user gets for a POST to each route of the SuperLink, with the CA that the device has."""
    address = f"https://{fleet.lab.host('hub').address}:8000"
    script = ASK.format(address=address, paths=[*OPEN, *CLOSED])
    return dict(json.loads(fleet.lab.ssh("pi", f"sudo {VENV}/python - <<'END'\n{script}\nEND", timeout=120)))


@pytest.mark.parametrize("path", CLOSED)
def test_a_device_is_refused_by_each_route_that_is_not_a_supernodes(answers: dict[str, int], path: str) -> None:
    assert answers[path] == 403


def test_a_device_reaches_what_a_supernode_asks_for(answers: dict[str, int]) -> None:
    statuses = {path: answers[path] for path in OPEN}
    assert set(statuses.values()) == {401}, statuses  # by the SuperLink itself: the request is not signed


@pytest.fixture(scope="module")
def intruder(fleet: LabFleet, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a device's root user needs to command the SuperLink: an app, a key, and the address with the CA."""
    app = tmp_path_factory.mktemp("intruder") / "app"
    shutil.copytree(FOREIGN_APP, app)
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", app / "key"], check=True)
    address = f"{fleet.lab.host('hub').address}:8000"
    ca = "/var/lib/flowerbed/keys/ca.crt"
    (app / "config.toml").write_text(f'[superlink.fleet]\naddress = "{address}"\nroot-certificates = "{ca}"\n')
    packed = subprocess.run(["tar", "-C", app.parent, "-c", "app"], capture_output=True, check=True).stdout
    subprocess.run(fleet.lab.ssh_argv("pi", "tar -x -C /tmp"), input=packed, check=True)
    settings = "FLWR_HOME=/tmp/app FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1"
    return f"cd /tmp/app && sudo env {settings} {VENV}/flwr"


@pytest.mark.parametrize(
    "command", ["run . fleet", "ls fleet", "log 1 fleet", "stop 1 fleet", "supernode register key.pub fleet"]
)
def test_a_devices_root_user_controls_nothing(fleet: LabFleet, intruder: str, command: str) -> None:
    assert "403" in fleet.lab.ssh("pi", f"{intruder} {command} 2>&1; true", timeout=120)


def test_hosts_that_rebooted_just_run_and_a_server_that_does_in_a_round_costs_that_round(
    fleet: LabFleet, tmp_path: Path
) -> None:
    # The server last: a SuperNode that came back to it within the seconds before its own reboot would count as there.
    for name in sorted(NAMES, key=lambda host: host == "hub"):
        Faults(fleet.lab).reboot(name)
    shown = tmp_path / "shown"
    with (
        shown.open("w") as file,
        subprocess.Popen(
            fleet.command("run_fl", "rounds=3", "epochs=1"),
            cwd=PROJECT,
            env=ENVIRONMENT,
            stdout=file,
            stderr=subprocess.STDOUT,
        ) as playbook,
    ):
        wait_for(lambda: "round 1/3" in shown.read_text() or playbook.poll() is not None, "round 1 is over", 300)
        Faults(fleet.lab).reboot("hub")
        playbook.wait(timeout=600)
    said = shown.read_text()
    assert playbook.returncode == 0, said
    assert re.findall(r"^round (\d)/3 ", said, re.MULTILINE) == ["1", "2", "3"]
    folder, record = latest(fleet)
    rounds = rows(folder / "rounds.csv")
    assert [row["round"] for row in rounds] == ["1", "2", "3"]
    assert rounds[0]["devices"] == "2"
    assert [outage["after_round"] for outage in record["outages"]] in ([1], [2])


def test_a_clock_that_is_wrong_is_named(fleet: LabFleet) -> None:
    Faults(fleet.lab).clock("pi", -280)
    looked = fleet.play("run_fl", options=("--check",))
    Faults(fleet.lab).clock("pi", 0)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    (seconds,) = re.findall(r"pi: its clock is (\d+) s behind", " ".join((looked.stdout + looked.stderr).split()))
    assert 270 < int(seconds) < 290


def test_no_private_key_is_in_what_comes_back_or_is_shown(fleet: LabFleet) -> None:
    keys = [(fleet.folder / "state/ca/ca.key").read_text(encoding="utf-8")]
    for host, name in (("hub", "server.key"), ("pi", "supernode"), ("orin", "supernode")):
        keys.append(fleet.lab.ssh(host, f"sudo cat /var/lib/flowerbed/keys/{name}"))
    secrets_of = [line for key in keys for line in key.splitlines() if "-----" not in line]
    assert len(secrets_of) > 10
    files = [path for folder in (fleet.results, fleet.folder / "state") for path in folder.rglob("*")]
    texts = {str(path): path.read_bytes() for path in files if path.is_file() and path.name != "ca.key"}
    texts["what the playbooks showed"] = "".join(fleet.shown).encode()
    assert [name for name, text in texts.items() if any(line.encode() in text for line in secrets_of)] == []


def test_a_device_that_is_taken_out_cannot_come_back(fleet: LabFleet, tmp_path: Path) -> None:
    key = tmp_path / "supernode"
    key.write_text(fleet.lab.ssh("orin", "sudo cat /var/lib/flowerbed/keys/supernode"), encoding="utf-8")
    key.chmod(0o600)
    done = fleet.play("remove_device", "device=orin")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "taken out: orin." in done.stdout
    units = "/etc/systemd/system/{supernode.service,clientapps.*,flowerbed.slice} /run/clientapps.sock"
    folders = "/var/lib/flowerbed /var/lib/flowerbed-app /opt/flowerbed"
    left = f"bash -c 'ls -d {folders} {units}' 2>/dev/null; getent passwd fl fl-app"
    assert fleet.lab.ssh("orin", left, check=False) == ""
    said = tmp_path / "said"  # no pipe: what it starts would hold it open
    again = subprocess.Popen(
        [
            Path(sys.executable).parent / "flower-supernode",
            f"--superlink={fleet.lab.host('hub').address}:8000",
            f"--root-certificates={fleet.folder}/state/ca/ca.crt",
            f"--auth-supernode-private-key={key}",
            f"--port={free_ports(1)[0]}",
        ],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # it calls flower-superexec
            "FLWR_HOME": str(tmp_path),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
        },
        stdout=said.open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:  # the answer counts; Flower's end after it takes as long as the machine is busy
        wait_for(lambda: "Exit Code:" in said.read_text() or "SuperNode ID:" in said.read_text(), "no answer", 180)
    finally:
        os.killpg(again.pid, signal.SIGKILL)
        again.wait()
        print(said.read_text())
    assert "Exit Code: 305" in said.read_text()  # a key that is not registered
    done = fleet.play("run_fl", "rounds=1", "epochs=1", "min_devices=1", options=("--limit", "pi"))
    assert done.returncode == 0, done.stdout + done.stderr
