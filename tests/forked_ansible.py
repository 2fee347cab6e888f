"""ansible-playbook for tests that start it a hundred times: its library is imported once, and each is a fork of that.

The import takes most of the time of a playbook that does little. What a fork has from its parent are Ansible's
constants: the project's ansible.cfg, and no variables of the environment that are set later.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import select
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

ROOT = Path(__file__).resolve().parents[1]
# What a play needs beyond the command's own imports.
PLUGINS = ("inventory.yaml", "callback.default", "strategy.linear", "connection.local", "shell.sh")


class Server:
    """The process that has Ansible's library. It imports no torch, which fails after that, and the tests need it."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.environment, self.folder = environment, folder
        self.process = self._begin()
        atexit.register(self.end)

    def _begin(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self.folder,
            env=self.environment,
            text=True,
        )

    def play(self, arguments: Sequence[str], timeout: float | None = None) -> subprocess.CompletedProcess[str]:
        """Run a playbook."""
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            status = self._play(arguments, stdout, stderr, timeout)
            for file in (stdout, stderr):
                file.seek(0)
            return subprocess.CompletedProcess(["ansible-playbook", *arguments], status, stdout.read(), stderr.read())

    def _play(self, arguments: Sequence[str], stdout: IO[str], stderr: IO[str], timeout: float | None) -> int:
        stdin, answers = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert answers is not None
        files = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (stdout, stderr)]
        print(json.dumps([arguments, *files]), file=stdin, flush=True)
        if not select.select([answers], [], [], timeout)[0]:
            parent = psutil.Process(self.process.pid)
            for process in [*parent.children(recursive=True), parent]:
                process.kill()
            self.process.wait()
            self.process = self._begin()
            raise AssertionError(f"ansible-playbook {arguments} did not end within {timeout} s")
        return int(answers.readline())

    def end(self) -> None:
        """Have it end by itself, so that it takes its temporary folder away."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


servers: list[Server] = []


def of_an_environment(environment: Mapping[str, str], folder: Path) -> Server:
    """A server with this environment, one for all that ask for the same."""
    server = next((one for one in servers if one.environment == environment), None)
    if server is None:
        server = Server(environment, folder)
        servers.append(server)
    return server


@functools.cache
def of_the_project() -> Server:
    """A server with the project's configuration, in its folder."""
    own = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "COLUMNS": "500",  # Ansible wraps warnings
    }
    return Server({**os.environ, **own}, ROOT)


def serve() -> None:
    """Fork for each line of stdin."""
    import importlib

    from ansible.cli import playbook  # noqa: F401
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader([])
    importlib.import_module("ansible_collections.ansible.builtin")  # a table of 10,000 lines
    for name in PLUGINS:
        importlib.import_module(f"ansible.plugins.{name}")
    from fleet import app, attach, benchmark, cids, inventory, resume, settings  # noqa: F401

    gc.freeze()  # a fork looks for garbage in what it makes itself
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(arguments: list[str], stdout: str, stderr: str) -> None:
    """Be ansible-playbook; leave what the parent made for its own end."""
    from ansible.cli.playbook import PlaybookCLI

    status = 1
    warnings.simplefilter("ignore")  # that there are plugins already
    try:
        for place, flags, number in ((os.devnull, os.O_RDONLY, 0), (stdout, os.O_WRONLY, 1), (stderr, os.O_WRONLY, 2)):
            os.dup2(os.open(place, flags | os.O_APPEND), number)
        PlaybookCLI.cli_executor(["ansible-playbook", *arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
