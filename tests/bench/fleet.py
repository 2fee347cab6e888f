"""A SuperLink and SuperNodes on free ports of this machine, stock or fast, all ended with the block."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleet.archive import pack
from plugins.module_utils.flower_command import Flower

PROJECT = Path(__file__).resolve().parents[2]
APP = Path(__file__).with_name("noop_app")
BIN = Path(sys.executable).parent
AT_ONCE = 8  # SuperNodes that start side by side


def listening(address: Path) -> socket.socket:
    """Return a socket that listens at a path, as systemd makes it for `clientapps`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(address))
    listener.listen()
    return listener


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Fleet:
    """`server`, `devices`: `stock` or `fast`; `warm`: the setting FAST_ROUNDS of fast ones.

    `isolated`: executors are processes of their own with the secret, and `apart`: what starts the apps is one too, as
    where apps have a user of their own; here it is the same user. `proxied`: SuperNodes reach the SuperLink through
    nginx, configured as the role gateway does it.
    """

    def __init__(
        self,
        folder: Path,
        nodes: int,
        *,
        server: str = "fast",
        devices: str = "fast",
        warm: str = "on",
        secure: bool = False,
        isolated: bool = False,
        apart: bool = False,
        proxied: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder, self.nodes, self.server, self.devices = folder, nodes, server, devices
        self.secure, self.isolated, self.apart = secure or proxied, isolated or apart, apart
        self.port = free_port()
        self.reached_at = free_port() if proxied else self.port
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "FLWR_HOME": str(folder / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FL_RUNS_DIR": str(folder / "runs"),
            "FAST_ROUNDS": warm,
            "OMP_NUM_THREADS": "1",
            **(environment or {}),
        }
        self.flwr = Flower(str(BIN / "flwr"), self.environment["FLWR_HOME"], str(folder))

    def __enter__(self) -> Fleet:
        """Start it and wait until all SuperNodes are in."""
        (self.folder / "runs").mkdir(parents=True)
        (self.folder / "flwr").mkdir()
        pack(PROJECT / "fl_app/fast_rounds", self._fast, PROJECT / "fl_app/eager_torch.py")
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End every process group that was started, and wait for it."""
        self.flwr.end()
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self) -> None:
        secure = ["--insecure"]
        if self.secure:
            _certificate(self.folder)
            secure = [
                f"--ssl-certfile={self.folder}/server.crt",
                f"--ssl-keyfile={self.folder}/server.key",
                f"--ssl-ca-certfile={self.folder}/server.crt",
                "--enable-supernode-auth",
            ]
        how = f'root-certificates = "{self.folder}/server.crt"' if self.secure else "insecure = true"
        (self.folder / "flwr/config.toml").write_text(
            f'[superlink]\ndefault = "fleet"\n[superlink.fleet]\naddress = "127.0.0.1:{self.port}"\n{how}\n'
        )
        link = [f"--port={self.port}", f"--database={self.folder}/link.db", "--disable-runtime-dependency-installation"]
        self._spawn("superlink", self.server, [*link, *secure])
        wait(lambda: _listens(self.port), 60, self.log)
        if self.reached_at != self.port:
            self._proxy()
        for cid in range(self.nodes):
            self.supernode(cid)
            if cid >= AT_ONCE:
                wait(partial(self._is_in, cid - AT_ONCE), 60, self.log)
        for cid in range(self.nodes):
            wait(partial(self._is_in, cid), 60, self.log)

    def _proxy(self) -> None:
        """Start nginx before the SuperLink; raises FileNotFoundError where it is not installed."""
        keys = self.folder / "keys"
        keys.mkdir()
        (self.folder / "gateway").mkdir()
        for name, source in {"ca.crt": "server.crt", "server.crt": "server.crt", "server.key": "server.key"}.items():
            (keys / name).symlink_to(self.folder / source)
        role = PROJECT / "roles/gateway"
        variables = {
            **yaml.safe_load((role / "vars/main.yml").read_text()),
            "gateway_home": self.folder,
            "gateway_listen": "127.0.0.1",
            "gateway_port": self.reached_at,
            "gateway_superlink_port": self.port,
        }
        config = self.folder / "gateway/nginx.conf"
        config.write_text(jinja2.Template((role / "templates/nginx.conf.j2").read_text()).render(variables))
        with (self.folder / "nginx.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    ["nginx", "-c", config, "-g", "daemon off;"],
                    stdout=log,
                    stderr=log,
                    env={**self.environment, "PATH": f"{self.environment['PATH']}:/usr/sbin"},
                    start_new_session=True,
                )
            )
        wait(lambda: _listens(self.reached_at), 60, lambda: self.log("nginx"))

    def _is_in(self, cid: int) -> bool:
        return b"SuperNode ID" in self.log(f"supernode{cid}")

    def supernode(self, cid: int) -> None:
        """Start a SuperNode."""
        secure = ["--insecure"]
        if self.secure:
            key = self.folder / f"key{cid}"
            subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", key], check=True)
            self.flwr.call("supernode", "register", f"{key}.pub", "fleet")
            secure = [f"--root-certificates={self.folder}/server.crt", f"--auth-supernode-private-key={key}"]
        runtime = free_port()
        arguments = [f"--superlink=127.0.0.1:{self.reached_at}", f"--port={runtime}", *secure]
        if self.isolated:
            secret = self.folder / "secret"
            secret.write_text("00" * 32)
            arguments += ["--isolation=process", f"--superexec-auth-secret-file={secret}"]
        self._spawn(
            f"supernode{cid}",
            self.devices,
            [*arguments, f"--node-config=partition-id={cid} num-partitions={self.nodes}"],
        )
        if self.isolated:
            self._spawn(
                f"superexec{cid}",
                self.devices,
                [
                    f"--runtime-api-address=127.0.0.1:{self.runtime_as_seen(runtime)}",
                    "--insecure",
                    f"--superexec-auth-secret-file={secret}",
                ],
                self._starter(cid) if self.apart else {},
            )

    def runtime_as_seen(self, port: int) -> int:
        """Return where an isolated executor finds a SuperNode's Runtime API that listens at a port."""
        return port

    def _starter(self, cid: int) -> dict[str, str]:
        """Start what starts a SuperNode's apps; return the environment of its executor."""
        address = self.folder / f"apps{cid}.sock"
        instead = self.folder / "instead"
        instead.mkdir(exist_ok=True)
        program = instead / "flwr-clientapp"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {self._fast} hand-over flwr-clientapp "$@"\n')
        program.chmod(0o755)
        with listening(address) as listener:
            setting = {"LISTEN_FDS": "1", **({"FAST_ROUNDS": "off"} if self.devices == "stock" else {})}
            self._spawn(f"clientapps{cid}", "fast", [], setting, listener)
        return {"FAST_ROUNDS_APPS": str(address), "PATH": f"{instead}:{self.environment['PATH']}"}

    @property
    def _fast(self) -> Path:
        return self.folder / "fast_rounds.pyz"

    def _spawn(
        self,
        name: str,
        kind: str,
        arguments: list[str],
        environment: dict[str, str] | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        program = name.rstrip("0123456789")
        program = program if listener else f"flower-{program}"
        command = [str(BIN / program)] if kind == "stock" else [sys.executable, str(self._fast), program]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [*command, *arguments],
                    stdout=log,
                    stderr=log,
                    env={**self.environment, **(environment or {})},
                    start_new_session=True,
                    preexec_fn=(lambda: os.dup2(listener.fileno(), 3) and None) if listener else None,
                    pass_fds=(3,) if listener else (),
                )
            )

    def log(self, name: str = "superlink") -> bytes:
        """Return what a process has said."""
        return (self.folder / f"{name}.log").read_bytes()

    def submit(self, app: Path = APP, **config: Any) -> Path:
        """Start a run; return the file that it will leave."""
        given = {"nodes": self.nodes, **config}
        words = " ".join(f"{name.replace('_', '-')}={json.dumps(value)}" for name, value in given.items())
        said = self.flwr.call("run", str(app), "fleet", "--run-config", words)
        return self.folder / "runs" / f"{said['run-id']}.json"

    def result(self, path: Path, limit: float = 120) -> dict[str, Any]:
        """Wait until a run has ended and return what it left."""
        wait(path.exists, limit, self.log)
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    def run(self, app: Path = APP, limit: float = 120, **config: Any) -> dict[str, Any]:
        """Run an app to its end."""
        return self.result(self.submit(app, **config), limit)


def wait(done: Callable[[], bool], seconds: float, log: Callable[[], bytes]) -> None:
    """Wait until `done()`; raises with the log after `seconds`."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, log().decode(errors="replace")[-3000:]
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def copy_of_app(folder: Path, code: int) -> Path:
    """Return a copy of the app whose client says that it is `code`."""
    app = folder / "noop_app"
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns("__pycache__"))
    client = app / "noop/client.py"
    client.write_text(client.read_text().replace("CODE = 1", f"CODE = {code}"))
    return app
