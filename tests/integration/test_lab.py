"""The lab itself: a fleet is booted, every fault made and taken back, and nothing stays behind."""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import disk, fleet, names
from lab.errors import LabError, run
from lab.faults import Faults
from lab.host import greets
from lab.inventory import LONGEST_CONTROL
from lab.lab import PLAN, Lab, booted
from lab.state import MACHINE, NETWORK_LOCK, locked
from lab.waiting import wait_for

from .labs import ANSIBLE, COMMAND, SERVER, crash, new_name, nothing_stays, traceless

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")

FLEET = {
    "hosts": [
        SERVER,
        {"name": "zero", "kind": "raspberry-pi-zero-2-w", "cpus": 1, "disk": 2048},
        {"name": "orin", "kind": "jetson-orin-nano", "memory": 512},
    ]
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with traceless(FLEET, tmp_path_factory.mktemp("state")) as up:
        yield up


@pytest.fixture
def faults(lab: Lab) -> Iterator[Faults]:
    made = Faults(lab)
    yield made
    for host in lab.hosts:  # a test that failed shall not fail the next
        made.thaw(host)
        made.plug(host)


def silent(lab: Lab, host: str) -> bool:
    return not greets(lab.host(host).address)


# Before the fixture `lab` is used for the first time: what lives in it comes and goes.
CRASHES: dict[str, Callable[[names.Names], bool]] = {
    "the plan is written": lambda lab: (lab.folder / PLAN).exists(),
    "the bridge is there": lambda lab: Path("/sys/class/net", lab.bridge).exists(),
    "the first disk is made": lambda lab: any(lab.folder.glob("hosts/*/disk.img")),
    "the first host is mounted": lambda lab: any(lab.folder.glob("hosts/*/root/etc")),
    "the first host boots": lambda lab: any(lab.folder.glob("hosts/*/console.log")),
}


@pytest.mark.parametrize("moment", CRASHES)
def test_nothing_stays_after_a_crash(moment: str, tmp_path: Path) -> None:
    crash(CRASHES[moment], tmp_path)


def test_two_labs_that_start_at_once_choose_two_subnets(tmp_path: Path) -> None:
    file, state = tmp_path / "fleet.json", tmp_path / "state"
    file.write_text(json.dumps({"hosts": [SERVER]}), encoding="utf-8")  # which is YAML
    command, labs = [*COMMAND, "--state", str(state)], [new_name(), new_name()]
    with nothing_stays(state):
        try:
            with locked(MACHINE / NETWORK_LOCK, wait=True, remove=True):
                ups = [subprocess.Popen([*command, "--name", name, "up", file, "--subnet", "auto"]) for name in labs]
                wait_for(lambda: all(waits_for_a_lock(up.pid) for up in ups), 30, "they do not wait for each other")
            assert [up.wait(60) for up in ups] == [0, 0]
            assert len({Lab.find(name, state).names.subnet for name in labs}) == 2
            assert sorted(path.name for path in state.iterdir()) == sorted(labs)
        finally:
            subprocess.run([*command, "down", "--all"], check=True)


def waits_for_a_lock(pid: int) -> bool:
    return any(line.split()[1:6:4] == ["->", str(pid)] for line in Path("/proc/locks").read_text().splitlines())


def test_connections_that_ansible_keeps_end_with_the_lab(tmp_path_factory: pytest.TempPathFactory) -> None:
    name, state = new_name(), tmp_path_factory.mktemp("s")
    state /= "s" * (LONGEST_CONTROL - len(str(names.parse(name, "10.0.0.0/24", state / "s").connections)) + 1)
    with booted(fleet.parse({"hosts": [SERVER]}, "test"), name, state=state) as up:
        ping = [*ANSIBLE, "-i", str(up.inventory), "-m", "ansible.builtin.ping"]
        assert re.search(r"ping\W+pong", run(ping, timeout=60).stdout)
        kept = ["pgrep", "--full", f"ssh: {up.names.connections}/.* \\[mux\\]"]
        assert run(kept).stdout.split()
    assert not run(kept, check=False).stdout


def test_a_host_is_a_debian_with_its_own_limits(lab: Lab) -> None:
    total, cores = lab.ssh("zero", "free -m | awk '/^Mem:/ {print $2}'; nproc").split()
    assert (total, cores) == ("512", "1")
    assert lab.ssh("zero", "ps -p 1 -o comm=").strip() == "systemd"
    assert lab.ssh("zero", "systemctl is-system-running --wait").strip() == "running"
    assert lab.ssh("zero", "id -un; sudo -n id -un; hostname").split() == ["pi", "root", "zero"]
    assert lab.ssh("zero", "python3 --version") >= "Python 3.11"
    assert lab.ssh("orin", "id -un").strip() == "nvidia"
    assert lab.ssh("zero", "ls /sys/class/net").split() == ["eth0", "lo"]
    size = int(lab.ssh("zero", "df --output=size -m / | tail -1"))
    assert 1800 < size < 2048


def test_hosts_have_identities_of_their_own(lab: Lab) -> None:
    ids = {lab.ssh(host, "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub") for host in lab.hosts}
    assert len(ids) == len(lab.hosts)


def test_groups_keep_hosts_apart(lab: Lab) -> None:
    processes = [host.group.processes() for host in lab.hosts.values()]
    assert all(processes)
    assert len(set.union(*processes)) == sum(map(len, processes))


def test_registries_are_reached_and_nothing_else_is(lab: Lab) -> None:
    update = "sudo apt-get update -qq -o Acquire::Languages=none"
    assert "python3-numpy" in lab.ssh("zero", f"{update} && apt-cache policy python3-numpy", 120)
    pip = "PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python3 -m pip"  # as in every new virtual environment
    assert "packaging" in lab.ssh("zero", f"{pip} download -q --no-deps -d /tmp/x packaging && ls /tmp/x", 120)
    uplink = run(["ip", "-4", "-oneline", "address", "show", "scope", "global"]).stdout
    outside = [word.split("/")[0] for word in re.findall(r"inet (\S+)", uplink)]
    elsewhere = next(address for address in outside if address != lab.names.gateway)
    answer = lab.ssh("zero", f"timeout 3 bash -c ': < /dev/tcp/{elsewhere}/22' 2>&1", check=False)
    assert "connect" in answer.lower() or "route" in answer.lower()


def test_commands_give_ansible_what_it_needs(lab: Lab) -> None:
    text = lab.inventory.read_text(encoding="utf-8")
    assert f"{lab.folder}/id_ed25519" in text
    assert lab.folder.joinpath("id_ed25519").stat().st_mode & 0o777 == 0o600
    hosts = lab.folder.joinpath("known_hosts").read_text().splitlines()
    assert [line.split()[0] for line in hosts] == [host.address for host in lab.hosts.values()]


# What vendor-outputs records of the vendors' commands: host, command, exit status, all of its output.
STANDINS = [
    ("zero", "vcgencmd get_throttled", 0, "throttled=0x0"),
    ("zero", "vcgencmd measure_temp", 0, "temp=39.7'C"),
    ("zero", "echo 0x50005 | sudo tee /run/lab/throttled >/dev/null; vcgencmd get_throttled", 0, "throttled=0x50005"),
    ("orin", "sudo nvpmodel -q", 0, "NV Fan Mode:quiet\nNV Power Mode: MAXN_SUPER\n2"),
    ("orin", "sudo nvpmodel -m 1; sudo nvpmodel -q", 0, "NV Fan Mode:quiet\nNV Power Mode: 25W\n1"),
    ("orin", "cat /var/lib/nvpmodel/status", 0, "pmode:0001 fmode:quiet"),
    ("orin", "sudo nvpmodel -m 7", 1, "NVPM ERROR: request for bad power mode 7"),
    ("orin", "sudo nvpmodel", 1, "NVPM ERROR: optMask is 0, no request for power mode"),
    ("orin", "/usr/sbin/nvpmodel -m 2", 1, "NVPM ERROR: Error opening /var/lib/nvpmodel/status: 13"),
    (
        "orin",
        "sudo nvpmodel -m 0 < /dev/null",
        1,
        "NVPM WARN: Golden image context is already created\n"
        "NVPM WARN: Reboot required for changing to this power mode: 0\n"
        "NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:\n"
        "NVPM ERROR: bad input!\nNVPM ERROR: optMask is 1, no request for power mode",
    ),
    (
        "orin",
        "echo no | sudo nvpmodel -m 0 | tail -1; sudo nvpmodel -q | tail -1",  # a declined switch records nothing
        0,
        "NVPM ERROR: optMask is 1, no request for power mode\n1",
    ),
    ("orin", "jetson_clocks", 1, "Error: Run this script(/usr/bin/jetson_clocks) as a root user"),
    ("orin", "sudo jetson_clocks --restore", 1, "Error: /root/l4t_dfs.conf file not found !"),
    ("orin", "sudo jetson_clocks --store; sudo jetson_clocks", 0, ""),
    ("orin", "sudo jetson_clocks --show | grep -o 'FreqOverride=.'", 0, "FreqOverride=1"),
    (
        "orin",
        "sudo jetson_clocks --store < /dev/null",
        1,
        "File /root/l4t_dfs.conf already exists. Can I overwrite it? Y/N:\n"
        "Error: file /root/l4t_dfs.conf already exists!",
    ),
    (
        "orin",
        "sudo jetson_clocks --restore; sudo jetson_clocks --show | grep -o 'FreqOverride=.'",
        0,
        "FreqOverride=0",
    ),
    (
        "orin",
        "sudo nvidia-ctk runtime configure --runtime=docker",
        0,
        "INFO[0000] Config file does not exist; using empty config\n"
        "INFO[0000] Wrote updated config to /etc/docker/daemon.json\n"
        "INFO[0000] It is recommended that docker daemon be restarted.",
    ),
    (
        "orin",
        "sudo nvidia-ctk runtime configure --runtime=docker 2>&1 | head -1; "
        'python3 -c \'import json; print(json.load(open("/etc/docker/daemon.json"))["runtimes"])\'',
        0,
        "INFO[0000] Loading config from /etc/docker/daemon.json\n"
        "{'nvidia': {'args': [], 'path': 'nvidia-container-runtime'}}",
    ),
    ("orin", "dpkg-query -W nvidia-jetpack", 0, "nvidia-jetpack\t6.2.1+b38"),
]


@pytest.mark.parametrize(("host", "command", "status", "output"), STANDINS, ids=[row[1][:40] for row in STANDINS])
def test_standins_answer_as_the_vendors_commands(lab: Lab, host: str, command: str, status: int, output: str) -> None:
    if host == "zero":
        lab.ssh("zero", "sudo mkdir -p /run/lab")
    done = run(lab.ssh_argv(host, f"{{ {command}; }} 2>&1"), check=False)
    assert (done.stdout.strip(), done.returncode) == (output, status)


def test_tegrastats_shows_the_host(lab: Lab) -> None:
    line = lab.ssh("orin", "timeout 5 tegrastats --interval 100 | head -1", check=False)
    assert re.match(r"\d\d-\d\d-\d{4} [\d:]{8} RAM \d+/512MB .* CPU \[\d+%@1420.* VDD_IN (\d+)mW/(\d+)mW ", line)


def test_yes_to_nvpmodel_reboots(lab: Lab) -> None:
    leader = lab.host("orin").leader()
    said = lab.ssh("orin", "echo yes | sudo nvpmodel -m 3", check=False)
    assert said.endswith("NVPM WARN: rebooting\n")
    wait_for(lambda: leader not in lab.host("orin").group.processes(), 30, "no reboot")
    lab.host("orin").wait_ssh(30)
    assert lab.ssh("orin", "sudo nvpmodel -q").splitlines()[-2:] == ["NV Power Mode: 7W", "3"]


def test_reboot(lab: Lab, faults: Faults) -> None:
    started = lab.ssh("zero", "touch /run/gone ~/stays; cat /proc/sys/kernel/random/boot_id")
    faults.reboot("zero")
    assert lab.ssh("zero", "cat /proc/sys/kernel/random/boot_id") != started
    assert lab.ssh("zero", "ls /run/gone ~/stays 2>/dev/null", check=False).split() == ["/home/pi/stays"]


def test_kill_and_start(lab: Lab, faults: Faults) -> None:
    faults.kill("zero")
    assert silent(lab, "zero")
    assert lab.host("zero").group.processes() == set()
    with pytest.raises(LabError, match="host zero does not run"):
        lab.host("zero").exec("true")
    faults.start("zero")
    assert lab.ssh("zero", "ls ~/stays", check=False)
    with pytest.raises(LabError, match="is on already"):
        faults.start("zero")


def test_freeze_and_thaw(lab: Lab, faults: Faults) -> None:
    with subprocess.Popen(lab.ssh_argv("zero", "read line; echo $line"), stdin=-1, stdout=-1, text=True) as open_ssh:
        faults.freeze("zero")
        assert silent(lab, "zero")
        faults.thaw("zero")
        assert open_ssh.communicate("still here\n", timeout=20)[0] == "still here\n"


def test_pull_and_plug(lab: Lab, faults: Faults) -> None:
    faults.pull("zero")
    assert silent(lab, "zero")
    assert lab.host("zero").exec("cat", "/sys/class/net/eth0/carrier").strip() == "0"
    faults.plug("zero")
    wait_for(lambda: not silent(lab, "zero"), 10, "the cable is in again, but nothing answers")


def reaches(lab: Lab, host: str, other: str) -> bool:
    command = f"ping -c 1 -W 1 -q {lab.host(other).address} >/dev/null && echo yes"
    return lab.ssh(host, command, check=False) == "yes\n"


def test_cut_and_heal(lab: Lab, faults: Faults) -> None:
    assert reaches(lab, "zero", "hub")
    faults.cut("zero", "hub")
    assert not reaches(lab, "zero", "hub")
    assert not reaches(lab, "hub", "zero")
    assert reaches(lab, "zero", "orin")
    faults.heal("hub", "zero")
    assert reaches(lab, "zero", "hub")


def lost(lab: Lab, host: str) -> int:
    wait_for(lambda: reaches(lab, host, "hub"), 30, "no packet comes through")  # its address is known from then on
    said = lab.ssh(host, f"ping -c 200 -i 0.005 -W 1 -q {lab.host('hub').address}", check=False)
    return int(re.findall(r"([\d.]+)% packet loss", said)[0].split(".")[0])


def test_loss(lab: Lab, faults: Faults) -> None:
    faults.loss("hub", 30)
    share = lost(lab, "orin")
    assert 30 < share < 75  # there and back: 51 % are lost on the mean
    faults.loss("hub", 0)
    assert lost(lab, "orin") == 0


def test_rate(lab: Lab, faults: Faults) -> None:
    size = 400_000

    def seconds() -> float:
        """From the first byte to the last: a slow login of a busy machine is no slow link."""
        argv = lab.ssh_argv("zero", f"head -c {size} /dev/zero")
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as ssh:
            assert ssh.stdout is not None
            assert ssh.stdout.read(1)
            started = time.monotonic()
            assert len(ssh.stdout.read(size - 1)) == size - 1
            return time.monotonic() - started

    faults.rate("zero", 1000)
    slow = seconds()
    faults.rate("zero", 0)
    assert slow > 2  # 3.2 Mbit, less the burst and what came with the first byte
    assert seconds() < slow / 2


def test_fill_disk(lab: Lab, faults: Faults) -> None:
    lab.host("zero").exec("sync")
    image = ["du", "--block-size=1M", str(lab.host("zero").disk.image)]
    used = int(run(image).stdout.split()[0])
    faults.fill_disk("zero", 20)
    assert int(lab.ssh("zero", "df --output=avail -m / | tail -1")) <= 20
    done = run(lab.ssh_argv("zero", "head -c 40M /dev/zero > ~/x"), check=False)
    assert "No space left on device" in done.stderr
    assert int(run(image).stdout.split()[0]) < used + 100  # of 2048: the machine's own disk is not filled
    faults.free_disk("zero")
    lab.ssh("zero", "head -c 40M /dev/zero > ~/x && rm ~/x")


def test_take_memory(lab: Lab, faults: Faults) -> None:
    eater = "python3 -c 'x = b\"1\" * (200 << 20)'; echo $?"
    assert lab.ssh("zero", eater).split()[-1] == "0"
    faults.take_memory("zero", 60)
    available = int(lab.ssh("zero", "awk '/^MemAvailable/ {print int($2/1024)}' /proc/meminfo"))
    assert 30 < available <= 70
    assert lab.ssh("zero", eater).split()[-1] == "137"  # killed for memory, and only there
    faults.give_memory("zero")
    assert lab.ssh("zero", eater).split()[-1] == "0"


def test_clock(lab: Lab, faults: Faults) -> None:
    def offset(command: str) -> float:
        return float(lab.ssh("zero", command)) - time.time()

    faults.clock("zero", -300)
    assert offset("date +%s") == pytest.approx(-300, abs=5)
    assert offset("sudo python3 -c 'import time; print(time.time())'") == pytest.approx(-300, abs=5)
    assert offset("sudo systemd-run --quiet --pipe --wait --uid=pi date +%s") == pytest.approx(-300, abs=5)
    faults.clock("zero", 0)
    assert offset("date +%s") == pytest.approx(0, abs=5)


def test_reflash(lab: Lab, faults: Faults) -> None:
    faults.reflash("zero")
    done = run(lab.ssh_argv("zero", "ls"), check=False)
    assert "Host key verification failed" in done.stderr
    lab.write_known_hosts()
    assert lab.ssh("zero", "ls") == ""


def test_the_lab_is_found_again(lab: Lab) -> None:
    found = Lab.find(lab.names.lab, lab.folder.parent)
    assert found.fleet == lab.fleet
    assert found.ssh("hub", "hostname") == "hub\n"
    with pytest.raises(LabError, match="has no host 'pi'; it has hub, zero, orin"):
        found.ssh("pi", "true")


@pytest.mark.parametrize(
    ("tier", "words"),
    [
        ({"arch": "arm64"}, "no arm64 root file system .*: `python tests/lab cache arm64` builds it in"),
        ({"machine": "vm"}, "no arm64 virtual machine .*: `python tests/lab cache vm` builds it in"),
    ],
)
def test_a_slow_tier_without_its_image_is_refused(
    tier: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(LabError, match=words):
        Lab.up(fleet.parse({"hosts": [{**FLEET["hosts"][0], **tier}]}, "x"), new_name(), "auto", tmp_path)


def test_what_is_taken_is_refused_and_left_alone(lab: Lab, tmp_path: Path) -> None:
    one = fleet.parse({"hosts": FLEET["hosts"][:1]}, "one")
    with pytest.raises(LabError, match="is up already"):
        Lab.up(one, lab.names.lab, "auto", lab.folder.parent)
    with pytest.raises(LabError, match=f"the interface {lab.names.bridge} is there already; choose another --name"):
        Lab.up(one, lab.names.lab, "auto", tmp_path)
    with pytest.raises(LabError, match=f"{lab.names.subnet} is taken .* choose another --subnet"):
        Lab.up(one, new_name(), str(lab.names.subnet), tmp_path)
    assert not tmp_path.exists()
    assert lab.ssh("hub", "hostname") == "hub\n"


def test_two_labs_side_by_side(lab: Lab, tmp_path: Path) -> None:
    started = time.monotonic()
    with booted(fleet.parse(FLEET, "second"), new_name(), state=tmp_path) as other:
        took = time.monotonic() - started
        assert not any(silent(other, host) for host in other.hosts)
        busy = os.getloadavg()[0] / len(os.sched_getaffinity(0))
        assert took < 5 * max(1, busy)  # others' work on this machine is not the lab's
        assert other.names.subnet != lab.names.subnet
        assert other.ssh("zero", "hostname") == "zero\n"
        assert not greets_from(other, "hub", lab.host("hub").address)
    load = "/usr/lib/apt/apt-helper -q download-file $2/dists/$3/InRelease /tmp/loaded"
    lab.ssh("zero", f"set -- $(head -n 1 /etc/apt/sources.list); {load}", 120)  # still forwarded


def greets_from(lab: Lab, host: str, address: str) -> bool:
    return lab.ssh(host, f"timeout 2 bash -c 'echo > /dev/tcp/{address}/22' && echo yes", check=False) == "yes\n"


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A file system that is mounted, and a process that has a file of it open."""
    place = tmp_path / "disk"
    place.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=1m", "lab-test", place])
    (place / "log").touch()
    with subprocess.Popen(["tail", "-f", place / "log"], stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: bool(disk.users(place)), 10, "tail opens no file")
            yield place, process
        finally:
            process.kill()
            process.wait()
            if disk.mounted(place):
                run(["umount", place])


def test_a_disk_that_stays_in_use_names_who_uses_it(busy: tuple[Path, subprocess.Popen[bytes]]) -> None:
    place, process = busy
    with pytest.raises(LabError, match=rf"{place} stays mounted, in use by {process.pid} tail$"):
        disk.unmount(place, timeout=0.1)
    assert disk.mounted(place)


def test_a_disk_in_use_for_a_moment_is_unmounted_then(busy: tuple[Path, subprocess.Popen[bytes]]) -> None:
    place, process = busy
    ending = threading.Timer(0.2, process.kill)
    ending.start()
    disk.unmount(place)
    ending.join()
    assert not disk.mounted(place)
