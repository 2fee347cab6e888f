"""fleet.shell: commands on this machine and over ssh, bounded in time."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.hosts import Host, Ssh
from fleet.shell import HostError, LocalShell, Shell, SshShell, as_user, on_all
from unit.sshd import Sshd
from waits import gone, wait_for

LIMIT = 20.0


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def ssh(sshd: Sshd, password: str = "raspberry", known_hosts: Path | None = None) -> Ssh:
    options = (f"UserKnownHostsFile {known_hosts or sshd.known_hosts}",)
    return Ssh("127.0.0.1", user="pi", port=sshd.port, password=password, options=options)


@pytest.fixture(params=["here", "over ssh"])
def shell(request: pytest.FixtureRequest, sshd: Sshd) -> Shell:
    return LocalShell() if request.param == "here" else SshShell(ssh(sshd))


def test_returns_the_exit_status_and_every_line(shell: Shell) -> None:
    lines: list[str] = []
    assert shell.run("echo one; echo 'two  ä'; echo three >&2; printf four; exit 3", lines.append, 10) == 3
    assert lines == ["one", "two  ä", "three", "four"]


def test_a_line_is_handed_over_as_it_comes(shell: Shell, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def react(line: str) -> None:
        if line == "ready":
            go.touch()

    script = f"echo ready; i=0; until [ -e {go} ]; do sleep 0.05; i=$((i+1)); if [ $i -gt 200 ]; then exit 9; fi; done"
    assert shell.run(script, react, 15) == 0


def test_what_takes_too_long_is_ended_with_all_that_it_started(shell: Shell, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(HostError, match=r"did not end in 0\.5 s"):
        shell.run(f"sleep 300 & echo $! > {tmp_path}/pid; wait", lambda _: None, 0.5)
    assert time.monotonic() - start < LIMIT
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: gone(pid), f"process {pid} ends", LIMIT)


def test_close_ends_what_runs_without_a_limit() -> None:
    here = LocalShell()
    threading.Timer(0.3, here.close).start()
    assert here.run("echo $$; sleep 300", lambda _: None) != 0


def test_a_host_whose_key_is_not_known_is_not_trusted(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(HostError, match="not found in known_hosts"):
        SshShell(ssh(sshd, known_hosts=tmp_path / "empty")).run("true", lambda _: None, 10)


def test_a_wrong_password_is_told(sshd: Sshd) -> None:
    with pytest.raises(HostError, match="Authentication failed"):
        SshShell(ssh(sshd, password="wrong")).run("true", lambda _: None, 10)


def test_a_host_that_cannot_be_reached_is_told_without_a_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(HostError, match=rf"^Unable to connect to port {port} on 127\.0\.0\.1$"):
        SshShell(Ssh("127.0.0.1", port=port)).run("true", lambda _: None, 10)


def host(name: str, elsewhere: Ssh | None = None) -> Host:
    return Host(name, "supernode", 0, "/home", "/venv", "fl", "supervisor", elsewhere)


def test_works_for_all_hosts_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=LIMIT)  # nobody passes it alone

    def work(one: Host) -> str:
        meeting.wait()
        return one.name

    assert on_all([host(name) for name in "abc"], work) == ["a", "b", "c"]


def test_nobody_changes_the_user_on_this_machine() -> None:
    assert as_user(host("a"), "id -un", "root") == "id -un"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user without being asked")
def test_root_runs_as_the_services_user_elsewhere() -> None:
    lines: list[str] = []
    script = as_user(host("pi", Ssh("pi")), "id -un; echo 'it''s'", "nobody")
    assert LocalShell().run(script, lines.append, 10) == 0
    assert lines == ["nobody", "its"]
