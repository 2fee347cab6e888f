"""Run commands on the fleet's hosts, side by side: here by a shell of this machine, elsewhere over ssh with fabric."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fleet.hosts import Host, Ssh

CONNECT_TIMEOUT = 10  # seconds
_T = TypeVar("_T")
OnLine = Callable[[str], None]


class HostError(RuntimeError):
    """A host cannot be reached, or does not answer in time; the text says why, in a line."""


class Shell(Protocol):
    """A host's shell."""

    def run(self, script: str, on_line: OnLine, timeout: float | None = None) -> int:
        """Run a shell script, hand over each line of its output as it comes, and return its exit status.

        Without a timeout it goes on until it ends or `close` is called. Raises HostError.
        """

    def close(self) -> None:
        """End what runs."""


class LocalShell:
    """This machine's shell, in a session of its own, so that what it started ends with it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def run(self, script: str, on_line: OnLine, timeout: float | None = None) -> int:
        """See Shell."""
        with subprocess.Popen(
            ["/bin/sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            self._process = process
            if self._closed:
                self.close()
            with _Deadline(timeout, self.close) as deadline:
                for line in process.stdout or ():
                    on_line(line.rstrip("\r\n"))
                status = process.wait()
                self._process = None
        deadline.check()
        return status

    def close(self) -> None:
        """See Shell."""
        self._closed = True
        if self._process is not None:  # the shell may be gone while what it left behind holds its output open
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


class SshShell:
    """A host's shell over ssh. Host keys are checked against the same files as ssh does."""

    def __init__(self, ssh: Ssh) -> None:
        self._ssh = ssh
        self._connection: Any = None

    def run(self, script: str, on_line: OnLine, timeout: float | None = None) -> int:
        """See Shell."""
        import paramiko

        if timeout is not None:  # ended there, too, when this side gives up
            script = f"timeout --kill-after=5 {timeout:g} sh -c {shlex.quote(script)}"
        try:
            self._connection = _connect(self._ssh)
            channel = self._connection.transport.open_session(timeout=CONNECT_TIMEOUT)
            if timeout is None:
                channel.get_pty()  # without a terminal the command would outlive the connection
            channel.set_combine_stderr(True)
            with _Deadline(timeout and timeout + CONNECT_TIMEOUT, self.close) as deadline:
                channel.exec_command(script)
                for line in channel.makefile("rb"):
                    on_line(line.decode("utf-8", "replace").rstrip("\r\n"))
                status = int(channel.recv_exit_status())
        except (paramiko.SSHException, OSError, EOFError, ValueError) as error:
            raise HostError(_reason(error)) from None
        finally:
            self.close()
        deadline.check()
        if timeout is not None and status == 124:  # of timeout(1)
            raise HostError(f"did not end in {timeout:g} s")
        return status

    def close(self) -> None:
        """See Shell."""
        if self._connection is not None:
            self._connection.close()


class _Deadline:
    """Calls `end` when the time is over; without a time, never."""

    def __init__(self, timeout: float | None, end: Callable[[], None]) -> None:
        self._timeout, self._end = timeout, end
        self._over = False
        self._timer = None if timeout is None else threading.Timer(timeout, self._expire)

    def _expire(self) -> None:
        self._over = True
        self._end()

    def __enter__(self) -> _Deadline:
        if self._timer:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    def check(self) -> None:
        """Raise HostError when the time was over."""
        if self._over:
            raise HostError(f"did not end in {self._timeout:g} s")


def _connect(ssh: Ssh) -> Any:
    """Return an open fabric Connection."""
    import paramiko
    from fabric import Config, Connection

    lines = ["Host *", *ssh.options]
    own = Path("~/.ssh/config").expanduser()
    if own.is_file():
        lines.append(own.read_text(encoding="utf-8"))
    config = paramiko.SSHConfig.from_text("\n".join(lines) + "\n")
    arguments = {"key_filename": ssh.key, "password": ssh.password, "banner_timeout": CONNECT_TIMEOUT}
    connection = Connection(
        ssh.address,
        user=ssh.user,
        port=ssh.port,
        config=Config(ssh_config=config),
        connect_timeout=CONNECT_TIMEOUT,
        connect_kwargs={name: value for name, value in arguments.items() if value is not None},
    )
    told = config.lookup(ssh.address)
    for path in told.get("userknownhostsfile", "~/.ssh/known_hosts").split():
        with contextlib.suppress(OSError):
            connection.client.load_system_host_keys(os.path.expanduser(path))
    if ssh.check_host_key and told.get("stricthostkeychecking", "yes") not in ("no", "off"):
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    connection.open()
    return connection


def _reason(error: Exception) -> str:
    told = getattr(error, "strerror", None) or str(error)  # without the number, which paramiko leaves empty
    text = " ".join(told.split()) or type(error).__name__
    if isinstance(error, TimeoutError) or text == "timed out":
        return f"no answer in {CONNECT_TIMEOUT} s"
    return text


def shell(host: Host) -> Shell:
    """Return the host's shell."""
    return LocalShell() if host.ssh is None else SshShell(host.ssh)


def on_all(hosts: Sequence[Host], work: Callable[[Host], _T], end: Callable[[], None] = lambda: None) -> list[_T]:
    """Do the work for all hosts side by side; return the results in the hosts' order. Ctrl-C calls `end`."""
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        tasks = [pool.submit(work, host) for host in hosts]
        try:
            return [task.result() for task in tasks]
        except BaseException:
            end()
            raise


def as_user(host: Host, script: str, user: str) -> str:
    """Return the script, to be run by another user of the host; on this machine nobody changes the user."""
    if host.ssh is None:
        return script
    command, name = f"sh -c {shlex.quote(script)}", shlex.quote(user)
    return (
        f'if [ "$(id -un)" = {name} ]; then {command}; '
        f'elif [ "$(id -u)" = 0 ]; then runuser -u {name} -- {command}; '
        f"else sudo -n -u {name} {command}; fi"
    )
