"""The lab's parts that need no root: what is read, what is refused, and what is written."""

import ipaddress
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment

from lab import cache, fleet, inventory, kind, names, nft, packages, registries, rootfs, state
from lab.cli import FAULTS, main, parser
from lab.errors import LabError, run
from lab.faults import Faults

PI = {"name": "pi-one", "kind": "raspberry-pi-4"}


def default_names() -> names.Names:
    return names.parse(names.DEFAULT_NAME, names.DEFAULT_SUBNET)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "a mapping with hosts is wanted, not None"),
        ({"host": []}, "unknown setting 'host'; allowed are hosts"),
        ({"hosts": "pi"}, "hosts must be a list, not 'pi'"),
        ({"hosts": []}, "must list 1 to 200 hosts, not 0"),
        ({"hosts": [PI] * 201}, "must list 1 to 200 hosts, not 201"),
        ({"hosts": ["pi"]}, "host 1: a mapping with"),
        ({"hosts": [{**PI, "ram": 1}]}, "unknown setting 'ram'; allowed are arch, cpus, disk"),
        ({"hosts": [{"kind": "server"}]}, "host 1: name must be text, not None"),
        ({"hosts": [{**PI, "name": "Pi"}]}, "not 'Pi'"),
        ({"hosts": [{**PI, "name": "_lxcfs"}]}, "not '_lxcfs'"),
        ({"hosts": [{**PI, "name": "pi/../x"}]}, "not 'pi/../x'"),
        ({"hosts": [PI, PI]}, "two hosts are named 'pi-one'"),
        ({"hosts": [{**PI, "kind": "arduino"}]}, "kind must be one of jetson-agx-orin, "),
        ({"hosts": [{**PI, "kind": "_jetson"}]}, "not '_jetson'"),
        ({"hosts": [{**PI, "memory": 1}]}, "(pi-one): memory must be a number from 64 to 1.04858e+06, not 1"),
        ({"hosts": [{**PI, "memory": True}]}, "not True"),
        ({"hosts": [{**PI, "memory": "1G"}]}, "not '1G'"),
        ({"hosts": [{**PI, "cpus": 0}]}, "cpus must be a number from 0.1 to 256, not 0"),
        ({"hosts": [{**PI, "disk": 10}]}, "disk must be"),
        ({"hosts": [{**PI, "arch": "armhf"}]}, "arch must be one of amd64, arm64, not 'armhf'"),
        ({"hosts": [{**PI, "machine": "vm", "arch": "amd64"}]}, "arch must be one of arm64, not 'amd64'"),
        ({"hosts": [{**PI, "os": "plan9"}]}, "os must be one of debian-12, not 'plan9'"),
        ({"hosts": [{**PI, "machine": "cloud"}]}, "machine must be one of container, vm, not 'cloud'"),
        (
            {"hosts": [{"name": "s1", "kind": "server"}, {"name": "s2", "kind": "server"}]},
            "one server at most, not s1, s2",
        ),
    ],
)
def test_fleet_refuses(data: object, words: str) -> None:
    with pytest.raises(LabError) as raised:
        fleet.parse(data, "fleet.yml")
    assert words in str(raised.value)
    assert str(raised.value).startswith("fleet.yml")
    assert "\n" not in str(raised.value)


def test_fleet_file_that_is_not_yaml(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yml"
    file.write_text("hosts: [\n", encoding="utf-8")
    with pytest.raises(LabError, match=r"fleet\.yml:2: not YAML"):
        fleet.load(file)
    with pytest.raises(LabError, match="No such file"):
        fleet.load(tmp_path / "absent.yml")


@pytest.mark.parametrize("file", sorted(fleet.DEFAULT.parent.glob("*.yml")), ids=lambda file: file.stem)
def test_fleets_that_ship_are_right(file: Path) -> None:
    read = fleet.load(file)
    assert fleet.parse(read.dump(), "again") == read


def test_hosts_take_from_their_kind_what_the_fleet_leaves_out() -> None:
    (host,) = fleet.parse({"hosts": [{"name": "zero", "kind": "raspberry-pi-zero-2-w", "cpus": 0.5}]}, "x").hosts
    assert (host.memory, host.cpus, host.arch, host.os, host.machine) == (512, 0.5, "amd64", "debian-12", "container")


@pytest.mark.parametrize("name", kind.names())
def test_kinds_show_their_board(name: str, tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    board = kind.load(name)
    board.install(tmp_path)
    tree = tmp_path / kind.DEVICE_TREE.lstrip("/")
    if board.group == "server":
        assert not tree.exists()
        return
    assert (tree / "model").read_bytes() == board.model.encode() + b"\0"
    assert (tree / "compatible").read_bytes().count(b"\0") == len(board.compatible) > 0
    commands = [tmp_path / path.lstrip("/") for path in board.commands]
    assert commands
    assert all(path.stat().st_mode & 0o777 == 0o755 for path in commands)
    if board.group == "raspberry_pis":
        line = (tmp_path / "boot/firmware/cmdline.txt").read_text()
        assert line.count("\n") == 1
        assert "root=" in line
    else:
        assert (tmp_path / "etc/nv_tegra_release").read_text().startswith("# R3")
        assert "PM_CONFIG DEFAULT=" in (tmp_path / "etc/nvpmodel.conf").read_text()
        assert "Package: nvidia-jetpack\nStatus: install ok" in (tmp_path / "var/lib/dpkg/status").read_text()


@pytest.mark.parametrize("lab", ["", "Lab", "1ab", "my-lab", "ninechars", "../x"])
def test_names_that_are_refused(lab: str) -> None:
    with pytest.raises(LabError, match="name must be"):
        names.parse(lab, names.DEFAULT_SUBNET)


@pytest.mark.parametrize("subnet", ["", "10.0.0.0", "10.0.0.1/24", "10.0.0.0/16", "8.8.8.0/24", "fd00::/64"])
def test_subnets_that_are_refused(subnet: str) -> None:
    with pytest.raises(LabError, match="subnet"):
        names.parse("lab", subnet)


def test_interfaces_fit_the_kernels_15_characters() -> None:
    longest = names.parse("abcdefgh", "10.1.2.0/24")
    assert len(longest.interface(fleet.MAX_HOSTS - 1)) <= 15
    assert ipaddress.ip_address(longest.address(fleet.MAX_HOSTS - 1)) in longest.subnet
    assert longest.mac(longest.address(0)) == "02:fb:0a:01:02:0b"


def test_committed_inventory_is_that_of_the_default_fleet() -> None:
    assert inventory.STATIC.read_text(encoding="utf-8") == inventory.static(default_names(), fleet.load(fleet.DEFAULT))


def test_inventory_has_the_groups_of_the_default_one() -> None:
    tree = yaml.safe_load(inventory.static(default_names(), fleet.load(fleet.DEFAULT)))["all"]["children"]["lab"]
    assert list(tree["children"]) == ["server", "devices"]
    assert len(tree["children"]["server"]["hosts"]) == 1
    boards = tree["children"]["devices"]["children"]
    assert boards["jetsons"]["hosts"]["orin-nano"]["fleet_device_tree"] == kind.DEVICE_TREE
    assert boards["raspberry_pis"]["hosts"]["pi-zero"]["ansible_user"] == "pi"
    assert "StrictHostKeyChecking=yes" in tree["vars"]["ansible_ssh_common_args"]


def test_connections_are_kept_in_the_labs_folder_where_its_path_fits_a_socket() -> None:
    def place(length: int) -> names.Names:
        return names.parse("lab", names.DEFAULT_SUBNET, Path("/" + "x" * (length - len("//lab/cp"))))

    assert inventory.control_folder(place(79)) == str(place(79).connections)
    assert inventory.control_folder(place(80)) == "~/.ansible/cp"
    variables = yaml.safe_load(inventory.STATIC.read_text())["all"]["children"]["lab"]["vars"]
    template = variables["ansible_control_path_dir"].strip("{} ")
    chosen = Environment().compile_expression(template)
    fits = "/" + "x" * (78 - len("/.lab/lab/cp")) + "/inventory"
    assert chosen(inventory_dir=fits) == f"{fits}/../.lab/lab/cp"
    assert chosen(inventory_dir=f"/x{fits}") == "~/.ansible/cp"


def test_only_web_ports_and_the_resolvers_are_let_out() -> None:
    rules = nft.nat(default_names(), ["192.0.2.53"])
    assert "ip daddr { 192.0.2.53 } meta l4proto { tcp, udp } th dport 53 accept" in rules
    assert "tcp dport { 80, 443 } accept" in rules
    assert rules.index("accept\n    reject") > 0
    assert "dport 53" not in nft.nat(default_names(), [])


def test_fault_rules_hold_both_directions() -> None:
    rules = nft.faults(default_names(), {"fb-lab-0": 12.5, "fb-lab-1": 0}, [("fb-lab-1", "fb-lab-2")])
    assert 'iifname "fb-lab-0" numgen random mod 10000 < 1250 drop' in rules
    assert 'oifname "fb-lab-0" numgen random mod 10000 < 1250 drop' in rules
    assert 'iifname "fb-lab-1" oifname "fb-lab-2" drop' in rules
    assert 'iifname "fb-lab-2" oifname "fb-lab-1" drop' in rules
    assert rules.count("numgen") == 2


def test_every_fault_of_the_command_line_is_a_method() -> None:
    methods = {name.replace("_", "-") for name in vars(Faults) if not name.startswith("_")}
    assert methods == set(FAULTS)
    assert parser().parse_args(["fault", "loss", "pi-zero", "10"]).percent == 10.0


def test_command_line_says_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--state", str(tmp_path), "status"]) == 1
    assert capsys.readouterr().err == f"lab: there is no lab 'lab' in {tmp_path}\n"
    assert main(["--state", str(tmp_path), "down"]) == 0


def test_what_a_crash_leaves_before_the_plan_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    labs = tmp_path / ".lab"
    (labs / "one" / "cp").mkdir(parents=True)
    (labs / "two.lock").touch()
    (labs / "notes.txt").touch()
    assert main(["--state", str(labs), "--name", "two", "down"]) == 0
    assert {path.name for path in labs.iterdir()} == {"one", "notes.txt"}
    assert main(["--state", str(labs), "down", "--all"]) == 0
    assert {path.name for path in labs.iterdir()} == {"notes.txt"}
    (labs / "notes.txt").unlink()
    (labs / "two.lock").touch()
    assert main(["--state", str(labs), "down", "--all"]) == 0
    assert not labs.exists()


def test_mirrors_of_the_machine_are_used_for_its_own_release(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example bookworm main\ndeb [arch=amd64] http://one.example/debian bookworm main contrib\n"
        "deb http://one.example/debian trixie main\ndeb-src http://one.example/debian bookworm main\n"
    )
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Types: deb deb-src\nURIs: http://two.example/debian\nSuites: bookworm-updates bookworm-security\n"
        "Components: main\n\nTypes: deb\nEnabled: no\nURIs: http://off.example\nSuites: bookworm\n"
    )
    assert rootfs.sources("bookworm", tmp_path) == [
        "deb http://one.example/debian bookworm main",
        "deb http://two.example/debian bookworm-updates main",
        "deb http://two.example/debian bookworm-security main",
    ]
    assert rootfs.sources("forky", tmp_path)[0] == "deb http://deb.debian.org/debian forky main"


def test_registries_become_the_clients_settings() -> None:
    pip = {"index-url": "https://one.example/simple", "find-links": "/wheels https://two.example"}
    found = registries.Registries(authorities={"a.crt": "x"}, pip=pip)
    assert found.pip_conf().splitlines() == [
        "[global]", "index-url = https://one.example/simple", "find-links = /wheels https://two.example",
        "cert = /etc/ssl/certs/ca-certificates.crt",
    ]  # fmt: skip
    assert 'find-links = ["/wheels", "https://two.example"]\nnative-tls = true' in found.uv_toml()
    assert "index-strategy" not in found.uv_toml()
    two = registries.Registries(pip={**pip, "extra-index-url": "https://two.example/simple"})
    assert two.uv_toml().splitlines()[1:] == [
        'extra-index-url = ["https://two.example/simple"]',
        'find-links = ["/wheels", "https://two.example"]',
        'index-strategy = "unsafe-best-match"',
    ]
    assert (registries.Registries().pip_conf(), registries.Registries().uv_toml()) == ("", "")


def test_pip_settings_and_folders_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "index" / "simple").mkdir(parents=True)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"file://{tmp_path}/index/simple https://far.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/absent/wheels")
    found = registries.find()
    assert found.pip["extra-index-url"] == f"file://{tmp_path}/index/simple https://far.example/simple"
    assert tmp_path / "index" in found.folders
    assert Path("/absent/wheels") not in found.folders


def test_missing_programs_are_named_by_package() -> None:
    assert packages.absent({"no-such-program": "a-package", "sh": "dash"}) == ["a-package"]


def test_settings_are_put_back_by_the_last_lab(tmp_path: Path) -> None:
    setting, tools = tmp_path / "setting", tmp_path / "made"
    setting.write_text("128\n")
    one, two = (state.SharedSettings(name, tmp_path / "machine") for name in ("one", "two"))
    one.hold({setting: "4096"}, [tools])
    tools.mkdir()
    two.hold({setting: "4096"}, [tools])
    one.release()
    assert setting.read_text() == "4096"
    assert tools.is_dir()
    two.release()
    two.release()
    assert setting.read_text() == "128"
    assert not tools.exists()
    assert not (tmp_path / "machine").exists()


def test_changes_are_undone_by_the_last_lab_in_their_order(tmp_path: Path) -> None:
    log, first, second, own = (tmp_path / name for name in ("log", "z-first", "a-second", "own"))
    own.touch()
    changes = [
        state.Change(path, ("touch", str(path)), ("sh", "-c", f"rm {path} && echo {path.name} >> {log}"))
        for path in (first, second, own)
    ]
    one, two = (state.SharedSettings(name, tmp_path / "machine") for name in ("one", "two"))
    one.make(*changes)
    first.unlink()  # somebody else has undone it
    two.make(*changes)
    one.release()
    assert (first.exists(), second.exists(), log.exists()) == (True, True, False)
    two.release()
    assert log.read_text().split() == ["a-second", "z-first"]
    assert own.exists()  # it was there before any lab
    assert not (tmp_path / "machine").exists()


def test_what_takes_minutes_is_built_on_demand_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    arm64 = fleet.load(fleet.DEFAULT.with_name("arm64.yml"))
    with pytest.raises(LabError, match=r"no arm64 root file system .*: `python tests/lab cache arm64` builds it in"):
        cache.prepare(fleet.Fleet(arm64.hosts[1:]), registries.Registries(), print)
    place = rootfs.path("debian-12", "arm64", registries.find())
    place.mkdir()
    assert cache.absent("arm64") == ""


def test_a_lock_is_held_by_what_was_started_under_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with state.locked(lock, wait=False):
        with pytest.raises(LabError, match="another `lab` command holds"), state.locked(lock, wait=False):
            pass
        number = run(["sh", "-c", f"ls -l /proc/self/fd | grep -c {lock}"]).stdout
    assert number.strip() == "1"
    with state.locked(lock, wait=False, remove=True):
        pass
    assert not lock.exists()


def test_commands_fail_with_their_last_line() -> None:
    with pytest.raises(LabError, match="status 3: second"):
        run(["sh", "-c", "echo first >&2; echo second >&2; exit 3"])
    with pytest.raises(LabError, match="no-such-program is not installed"):
        run(["no-such-program"])
    with pytest.raises(LabError, match=r"did not end within 0\.1 s"):
        run(["sleep", "5"], timeout=0.1)
