"""The actions of the playbooks beside check_settings, each in a play."""

from __future__ import annotations

import json
import os
import re
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certificates import certificate
from unit.driving import APP, errors, run_play

if TYPE_CHECKING:
    from unit.conftest import StandIn


def act(folder: Path, name: str, arguments: dict[str, Any], *more: str) -> tuple[str, list[str], dict[str, Any]]:
    """Return what an action showed, the errors among it, and its result."""
    result = folder / "play" / "result.json"
    keep = {"content": "{{ found | to_json }}", "dest": str(result), "mode": "0600"}
    tasks: list[dict[str, Any]] = [
        {"name": "Act", name: arguments, "register": "found"},
        {"name": "Keep", "copy": keep, "check_mode": False},
    ]
    done = run_play(folder / "play", tasks, *more)
    return done.stdout + done.stderr, errors(done), json.loads(result.read_text()) if result.exists() else {}


def test_refuse_shows_its_lines_and_nothing_of_the_task(tmp_path: Path) -> None:
    shown, lines, result = act(tmp_path, "refuse", {"lines": ["pi4 is not provisioned", "and more"]})
    assert lines == ["pi4 is not provisioned", "and more"]
    assert result == {}
    assert "fatal:" not in shown


def test_tell_shows_lines_and_warnings(tmp_path: Path) -> None:
    shown, _, result = act(tmp_path, "tell", {"lines": ["report: here"]})
    assert "\nreport: here\n" in shown
    assert not result["changed"]
    shown, _, _ = act(tmp_path, "tell", {"lines": ["pi4 cannot be reached"], "warning": True})
    assert "[WARNING]: pi4 cannot be reached" in shown


def test_brings_what_a_command_prints(tmp_path: Path) -> None:
    dest = tmp_path / "out" / "log"
    arguments = {"command": "printf 'a\\nb'", "dest": str(dest)}
    assert act(tmp_path, "fetch_output", arguments, "--check")[2]["bytes"] == 0
    assert not dest.exists()
    assert act(tmp_path, "fetch_output", arguments)[2]["bytes"] == 3
    assert dest.read_text() == "a\nb"
    assert [path.name for path in dest.parent.iterdir()] == ["log"]


def test_brings_and_unpacks_a_folder(tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "round-1.safetensors").write_bytes(bytes(range(256)) * 100)
    command = f"tar -C {tmp_path / 'run'} -cf - ."
    act(tmp_path, "fetch_output", {"command": command, "dest": str(tmp_path / "there"), "unpack": True})
    assert (tmp_path / "there" / "model" / "round-1.safetensors").read_bytes() == bytes(range(256)) * 100


def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.add(tmp_path / "file", arcname="../../escaped")
    dest = tmp_path / "deep" / "er" / "there"
    _, _, result = act(
        tmp_path, "fetch_output", {"command": f"cat {tmp_path / 'bad.tar'}", "dest": str(dest), "unpack": True}
    )
    assert result == {}
    assert not (tmp_path / "deep" / "escaped").exists()


def test_a_command_that_fails_brings_nothing(tmp_path: Path) -> None:
    shown, _, result = act(
        tmp_path, "fetch_output", {"command": "echo half; echo no >&2; false", "dest": str(tmp_path / "x")}
    )
    assert result == {}
    assert "the command failed: no" in shown
    assert not (tmp_path / "x").exists()


ROUNDS = "round,loss,accuracy,train_loss,devices,failures,seconds,bytes_sent,bytes_received\n"
STATUS = {"success": True, "runs": [{"status": "finished:completed", "status-details": "N/A"}]}


def run_folder(folder: Path, **files: str) -> Path:
    run = folder / "run"
    run.mkdir()
    for name, content in {"status.json": json.dumps(STATUS), **files}.items():
        (run / name).write_text(content)
    return run


def test_follows_a_run_and_shows_whole_rounds_only(tmp_path: Path) -> None:
    rows = f"{ROUNDS}1,0.412,0.873,0.5,4,0,6.1,1,1\n2,0.3,0.9,0.4,3,1,7,1,1\n3,0.2,0.9"
    run = run_folder(tmp_path, **{"rounds.csv": rows})
    shown, _, result = act(tmp_path, "follow_run", {"folder": str(run), "rounds": 3})
    assert "round 1/3  loss 0.412  accuracy 0.873  devices 4/4  6.1 s\n" in shown
    assert "round 2/3  loss 0.300  accuracy 0.900  devices 3/4" in shown
    assert "round 3/3" not in shown
    assert (result["status"], result["details"]) == ("finished:completed", "")
    assert (run / "followed").exists()


def test_shows_the_log_of_an_app_that_writes_no_rounds_to_its_last_line(tmp_path: Path) -> None:
    run = run_folder(tmp_path, **{"serverapp.log": "first line\nlast line\n"})
    shown, _, _ = act(tmp_path, "follow_run", {"folder": str(run)})
    assert "\nfirst line\nlast line\n" in shown


def test_rounds_that_were_shown_are_not_shown_again(tmp_path: Path) -> None:
    rows = f"{ROUNDS}1,0.412,0.873,0.5,4,0,6.1,1,1\n2,0.3,0.9,0.4,3,1,7,1,1\n"
    run = run_folder(tmp_path, **{"rounds.csv": rows})
    shown, _, result = act(tmp_path, "follow_run", {"folder": str(run), "rounds": 3, "shown": 1})
    assert "round 1/3" not in shown
    assert "round 2/3" in shown
    assert result["shown"] == 2


def test_says_where_nothing_keeps_the_status_any_more(tmp_path: Path) -> None:
    run = run_folder(
        tmp_path, follower=f"{os.getpid()} flower-follower-0a1b"
    )  # after a reboot, the number of another process
    (run / "status.json").unlink()
    _, _, result = act(tmp_path, "follow_run", {"folder": str(run)})
    assert result["status"] == "unfollowed"


def test_check_mode_follows_nothing(tmp_path: Path) -> None:
    _, _, result = act(tmp_path, "follow_run", {"folder": str(tmp_path / "nowhere")}, "--check")
    assert result["status"] == "finished:completed"


def submit(standin: StandIn, tmp_path: Path, minimum: int, *more: str) -> tuple[str, list[str], dict[str, Any]]:
    fab = standin.home / "apps" / "me.mine.1-0-0.0a1b2c3d.fab"
    fab.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(fab, "w") as archive:
        archive.writestr("pyproject.toml", APP)
    run = {"fab": str(fab), "venv": str(standin.venv), "home": str(standin.home)}
    arguments = {"devices": ["a", "b"], "minimum": minimum, "timeout": 1, "run": run}
    return act(tmp_path, "submit_run", arguments, *more)


@pytest.fixture
def half(standin: StandIn) -> StandIn:
    """A fleet of two of which one is online."""
    standin.put({"nodes": {"11": {"status": "online"}, "12": {"status": "offline"}}})
    (standin.home / "nodes.json").write_text('{"a": {"node_id": "11"}, "b": {"node_id": "12"}}')
    return standin


def test_submits_at_once_when_all_are_online(half: StandIn, tmp_path: Path) -> None:
    half.put({"nodes": {"11": {"status": "online"}, "12": {"status": "online"}}})
    _, _, result = submit(half, tmp_path, 2)
    assert (result["online"], result["missing"], result["run_id"]) == (["a", "b"], [], "101")
    assert half.calls()[:2] == ["supernode list", "run"]


def test_names_the_missing_and_goes_on_where_enough_are_there(half: StandIn, tmp_path: Path) -> None:
    shown, _, result = submit(half, tmp_path, 1)
    assert (result["online"], result["missing"], result["run_id"]) == (["a"], ["b"], "101")
    assert "[WARNING]: not online: b" in shown


def test_stops_where_too_few_are_online(half: StandIn, tmp_path: Path) -> None:
    _, (line,), _ = submit(half, tmp_path, 2)
    assert line.startswith("1 of 2 devices are online after ")
    assert "min_devices=2" in line
    assert "missing: b" in line
    assert "run" not in half.calls()


def test_says_why_it_waits_in_vain(half: StandIn, tmp_path: Path) -> None:
    half.take_down()
    _, (line,), _ = submit(half, tmp_path, 1)
    assert "Connection to the SuperLink is unavailable." in line
    assert "missing: a, b" in line


def test_check_mode_submits_nothing_and_waits_for_nobody(half: StandIn, tmp_path: Path) -> None:
    _, _, result = submit(half, tmp_path, 2, "--check")
    assert (result["changed"], result["run_id"], result["missing"]) == (True, "", [])
    assert half.calls() == []


def test_a_clock_that_is_right_is_not_spoken_of(tmp_path: Path) -> None:
    shown, _, found = act(tmp_path, "compare_clock", {})
    assert abs(found["offset"]) <= found["error"] < 5
    again, _, _ = act(tmp_path, "compare_clock", {"server": found})
    assert "WARNING" not in shown + again


@pytest.mark.parametrize(("offset", "way"), [(300.0, "behind"), (-60.0, "ahead of")])
def test_a_clock_that_is_wrong_is_named(tmp_path: Path, offset: float, way: str) -> None:
    shown, _, _ = act(tmp_path, "compare_clock", {"server": {"offset": offset, "error": 0.5}})
    (seconds,) = re.findall(rf"localhost: its clock is (\d+) s {way} the server's", " ".join(shown.split()))
    assert int(seconds) == pytest.approx(abs(offset), abs=2)


@pytest.mark.parametrize(("days", "says"), [(200, ""), (20, "the server's certificate ends on "), (-2, "ended on ")])
def test_certificates_that_end_are_told_of_and_those_that_ended_are_refused(
    tmp_path: Path, days: int, says: str
) -> None:
    for name, left in (("ca", 300), ("hub", days)):
        (tmp_path / f"{name}.crt").write_bytes(certificate(left))
    looks = {"name": "Look", "check_certificates": {"folder": str(tmp_path), "server": "hub"}}
    done = run_play(tmp_path, [looks])
    assert (done.returncode != 0) == (days < 0)
    told = [line for line in done.stderr.splitlines() if "certificate" in line]
    assert len(told) == (1 if says else 0)
    assert all(says in line and "playbooks/renew_certificates.yml" in line for line in told)


def test_a_command_on_the_controller_is_run_as_command_would(tmp_path: Path) -> None:
    argv = ["sh", "-c", 'cat; echo "$WHO" >&2; exit "$1"', "sh"]
    given = {"stdin": "a\nb\n", "environment": {"WHO": "me"}}
    _, _, result = act(tmp_path, "on_controller", {"argv": [*argv, "0"], **given})
    assert (result["stdout"], result["stderr"], result["rc"], result["changed"]) == ("a\nb", "me", 0, True)
    shown, _, result = act(tmp_path / "fails", "on_controller", {"argv": [*argv, "3"], **given})
    assert result == {}
    assert "sh ended with 3: me" in shown
    shown, _, result = act(tmp_path / "absent", "on_controller", {"argv": ["/nowhere"]})
    assert result == {}
    assert "No such file or directory: '/nowhere'" in shown
    made = tmp_path / "made"
    _, _, result = act(tmp_path / "checked", "on_controller", {"argv": ["touch", str(made)]}, "--check")
    assert (result["changed"], result["skipped"], made.exists()) == (False, True, False)


def test_a_folder_is_handed_over_where_a_file_of_it_is_missing_or_is_another(tmp_path: Path) -> None:
    part = tmp_path / "part"
    (part / "deep").mkdir(parents=True)
    (part / "train.npz").write_bytes(b"\0images")
    (part / "deep" / "it's.json").write_text("{}")
    dest = tmp_path / "there" / "a part"
    hand_over = {"src": str(part), "dest": str(dest)}
    assert act(tmp_path / "0", "hand_over", hand_over, "--check")[2]["changed"]
    assert not dest.exists()
    assert act(tmp_path / "1", "hand_over", hand_over)[2]["changed"]
    assert (dest / "train.npz").read_bytes() == b"\0images"
    assert (dest / "deep" / "it's.json").read_text() == "{}"
    assert {path.stat().st_mode & 0o777 for path in dest.rglob("*") if path.is_file()} == {0o600}
    assert dest.stat().st_mode & 0o777 == 0o700
    assert not act(tmp_path / "2", "hand_over", hand_over)[2]["changed"]

    def is_mended(number: int) -> None:
        assert act(tmp_path / f"mended{number}", "hand_over", hand_over)[2]["changed"]
        assert (dest / "train.npz").read_bytes() == b"\0images"
        assert (dest / "train.npz").stat().st_mode & 0o777 == 0o600

    (dest / "train.npz").write_bytes(b"\0altered")
    is_mended(1)
    (dest / "train.npz").chmod(0o644)
    is_mended(2)
    (dest / "train.npz").unlink()
    is_mended(3)


@pytest.mark.parametrize("size", [3, 65 * 2**20], ids=["in a stream", "by Ansible's copy"])
def test_a_file_is_handed_over_once(tmp_path: Path, size: int) -> None:
    with (tmp_path / "app.fab").open("wb") as file:
        file.truncate(size)
    (tmp_path / "apps").mkdir()
    hand_over = {"src": str(tmp_path / "app.fab"), "dest": str(tmp_path / "apps" / "app.fab")}
    assert act(tmp_path / "1", "hand_over", hand_over)[2]["changed"]
    assert (tmp_path / "apps" / "app.fab").read_bytes() == bytes(size)
    assert (tmp_path / "apps" / "app.fab").stat().st_mode & 0o777 == 0o600
    assert not act(tmp_path / "2", "hand_over", hand_over)[2]["changed"]


def test_what_cannot_be_handed_over_is_told_in_a_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "app.fab").write_bytes(b"app")
    (tmp_path / "apps" / "app.fab" / "in the way").mkdir(parents=True)
    hand_over = {"src": str(tmp_path / "app.fab"), "dest": str(tmp_path / "apps" / "app.fab")}
    shown, _, result = act(tmp_path, "hand_over", hand_over)
    assert result == {}
    reason = r"apps/app\.fab could not be written: \S+/apps/\./app\.fab is a folder$"
    assert re.search(reason, shown, re.MULTILINE), shown
    assert "Traceback" not in shown
    assert [path.name for path in (tmp_path / "apps").iterdir()] == ["app.fab"]


def test_facts_of_another_name_are_taken_over(tmp_path: Path) -> None:
    tasks: list[dict[str, Any]] = [
        {
            "name": "Ask",
            "setup": {"gather_subset": ["!all", "!min", "platform"]},
            "when": "inventory_hostname == 'one'",
        },
        {
            "name": "Take",
            "same_facts": {"facts": "{{ hostvars.one.ansible_facts }}"},
            "when": "inventory_hostname == 'two'",
        },
        {"name": "Tell", "tell": {"lines": ["{{ inventory_hostname }} is {{ ansible_facts['architecture'] }}"]}},
    ]
    done = run_play(tmp_path, tasks, inventory="all: {hosts: {one: , two: }}", hosts="all")
    told = re.findall(r"^(one|two) is (\S+)$", done.stdout, re.MULTILINE)
    assert {name for name, _ in told} == {"one", "two"}, done.stdout + done.stderr
    assert len({architecture for _, architecture in told}) == 1
