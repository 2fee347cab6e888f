"""What a ClientApp's process really asks its SuperNode: a real fleet, with a relay between the two that reads along."""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

from bench.fleet import Fleet

LIMIT = 240.0
REQUEST = re.compile(rb"(?:GET|POST) /v1/runtime/(\S+) HTTP/1\.1\r\n")
# What one that is there for all apps asks, again and again.
OF_THE_EXECUTOR = {"acquire-task", "get-connector", "send-task-heartbeat", "push-logs"}


class Relay:
    """Hands bytes on to a port of this machine, and notes which paths were asked for."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self._port, self._stack = port, stack
        self._sent: list[bytearray] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        stack.callback(self._close, self._listener)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def paths(self) -> Counter[str]:
        """Return how often each path was asked for."""
        return Counter(path.decode() for sent in self._sent for path in REQUEST.findall(bytes(sent)))

    def _accept(self) -> None:
        with suppress(OSError):  # closed at the test's end
            while True:
                app, _ = self._listener.accept()
                supernode = socket.create_connection(("127.0.0.1", self._port))
                for one in (app, supernode):
                    self._stack.callback(self._close, one)
                self._sent.append(bytearray())
                threading.Thread(target=self._hand_on, args=(app, supernode, self._sent[-1]), daemon=True).start()
                threading.Thread(target=self._hand_on, args=(supernode, app, bytearray()), daemon=True).start()

    @staticmethod
    def _hand_on(source: socket.socket, target: socket.socket, seen: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                seen += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    @staticmethod
    def _close(one: socket.socket) -> None:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


class Overheard(Fleet):
    """A fleet of one SuperNode, whose executor and apps reach it through a relay."""

    relay: Relay

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, 1, isolated=True)
        self._stack = stack

    def runtime_as_seen(self, port: int) -> int:
        self.relay = Relay(port, self._stack)
        return self.relay.port


def test_an_apps_process_sends_two_requests_for_a_message(tmp_path: Path) -> None:
    with ExitStack() as stack:
        fleet = Overheard(tmp_path / "fleet", stack)
        stack.enter_context(fleet)
        result = fleet.run(rounds=3, evaluate=False, torch=False, limit=LIMIT)
        assert len(result["replies"]) == 3
        paths = fleet.relay.paths()
    assert paths["acquire-task"] >= 3  # the executor's are seen, too
    of_apps = {path: number for path, number in paths.items() if path not in OF_THE_EXECUTOR}
    assert of_apps == {"pull-task-input": 3, "push-task-output": 3}
