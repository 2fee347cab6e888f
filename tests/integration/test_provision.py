"""provision.yml on devices of this machine."""

from __future__ import annotations

import re
import shutil
import stat

from .conftest import LocalFleet, changed_hosts


def test_a_second_time_changes_nothing(fleet: LocalFleet) -> None:
    done = fleet.play("provision")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = changed_hosts(done.stdout)
    assert set(counts) == {"localhost", "hub", "device1", "device2", "device3"}
    assert set(counts.values()) == {0}, done.stdout


def test_check_mode_on_a_fleet_that_is_up_changes_nothing(fleet: LocalFleet) -> None:
    folders = (fleet.results, fleet.folder / "state/hub/runs")
    before = [set(folder.glob("*")) for folder in folders]
    for playbook in ("provision", "run_fl", "benchmark"):
        done = fleet.play(playbook, options=("--check", "--diff"))
        assert done.returncode == 0, done.stdout + done.stderr
    assert [set(folder.glob("*")) for folder in folders] == before


def test_check_mode_before_the_first_provisioning(tmp_path) -> None:  # type: ignore[no-untyped-def]
    fresh = LocalFleet(tmp_path, devices=2)
    done = fresh.play("provision", options=("--check",))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not fresh.processes()
    assert not (tmp_path / "state").exists()


def test_private_keys_can_be_read_by_their_owner_alone(fleet: LocalFleet) -> None:
    files = [path for path in (fleet.folder / "state").rglob("*") if path.is_file()]
    keys = [path for path in files if b"PRIVATE KEY" in path.read_bytes()]
    assert len(keys) == 5  # the CA's, the server's and one for each device
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_every_device_is_registered_and_runs_with_tls_and_its_own_key(fleet: LocalFleet) -> None:
    lines = fleet.commands().values()
    commands = [line for line in lines if "pause-after-end" not in line]
    supernodes = [command for command in commands if "flower-supernode" in command]
    assert len(supernodes) == 3
    assert len({command.split("--auth-supernode-private-key=")[1] for command in supernodes}) == 3
    assert all("--root-certificates=" in command for command in supernodes)
    superlink = next(command for command in commands if "flower-superlink" in command)
    assert "--enable-supernode-auth" in superlink
    assert "--host=127.0.0.1" in superlink
    assert not any("--insecure" in command for command in [*supernodes, superlink])


def test_a_device_that_is_too_small_for_the_model_is_told_before_it_trains(fleet: LocalFleet) -> None:
    looked = fleet.play("run_fl", "run_system_mb=99999999", options=("--check",))
    assert looked.returncode == 0, looked.stdout + looked.stderr
    told = " ".join((looked.stdout + looked.stderr).split())
    assert "device1 has " in told
    assert "will probably be killed: take a smaller model or batch_size, or more swap" in told
    assert "hub has " not in told  # the server trains nothing


def test_a_round_is_estimated_where_a_benchmark_knows_the_model(fleet: LocalFleet) -> None:
    folder = fleet.results / "2000-01-01T00-00-00Z-benchmark"
    folder.mkdir(parents=True)
    (folder / "benchmark.csv").write_text(
        "model,host,batch_size,train_ms,input_shape\n"
        'mobilenetv3_small_050,device2,10,100.0,"[1, 28, 28]"\n'
        'mobilenetv3_small_050,device1,10,50.0,"[1, 28, 28]"\n'
    )
    looked = fleet.play(
        "run_fl", "run_system_mb=0", "epochs=1", "model=timm/mobilenetv3_small_050", options=("--check",)
    )
    shutil.rmtree(folder)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert "killed" not in looked.stdout
    (seconds,) = re.findall(
        r"^a round of training takes about ([\d.]+) s on device2, the slowest of the 2 of 3 devices that were "
        r"benchmarked \(device1 [\d.]+ s\), by a benchmark of this fleet$",
        looked.stdout,
        re.MULTILINE,
    )
    # 4,000 or so digits for three devices, nine tenths of which train for 10 ms, and the rest are evaluated
    assert 11 < float(seconds) < 17
