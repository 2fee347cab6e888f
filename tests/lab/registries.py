"""How this machine reaches its package registries, so that the hosts can reach them in the same way.

Everything is asked of the machine's own clients (apt, pip, the resolver); where there is nothing special the
answer is empty and the hosts use the clients' defaults.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from .errors import LabError, run

LOCAL_AUTHORITIES = Path("/usr/local/share/ca-certificates")
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# Where systemd-resolved keeps the resolvers behind its own loopback address.
RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
PIP_KEYS = ("index-url", "extra-index-url", "find-links", "trusted-host", "default-timeout", "retries")


@dataclass(frozen=True)
class Registries:
    """What hosts need for the machine's registries.

    Attributes:
        resolvers: addresses of DNS servers that are not on loopback.
        authorities: PEM certificates that Debian does not ship, by file name.
        pip: settings of pip's configuration.
        folders: local folders that these settings name, shown to hosts read-only under the same path.
        apt: apt's proxies, as lines of apt.conf.
    """

    resolvers: tuple[str, ...] = ()
    authorities: dict[str, str] = field(default_factory=dict)
    pip: dict[str, str] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    apt: str = ""

    def pip_conf(self) -> str:
        """Return the hosts' /etc/pip.conf; empty where pip's defaults serve."""
        lines = [f"{key} = {value}" for key, value in self.pip.items()]
        if self.authorities:
            lines.append(f"cert = {SYSTEM_BUNDLE}")
        return "\n".join(["[global]", *lines, ""]) if lines else ""

    def uv_toml(self) -> str:
        """Return the same for uv, as the hosts' /etc/uv/uv.toml."""
        lines = []
        if "index-url" in self.pip:
            lines.append(f'index-url = "{self.pip["index-url"]}"')
        for key in ("extra-index-url", "find-links"):
            if values := self.pip.get(key, "").split():
                lines.append(f"{key} = [{', '.join(chr(34) + value + chr(34) for value in values)}]")
        if "extra-index-url" in self.pip:
            lines.append('index-strategy = "unsafe-best-match"')  # as pip: the best of all indexes
        if self.authorities:
            lines.append("native-tls = true")
        return "\n".join([*lines, ""]) if lines else ""


def find() -> Registries:
    """Ask this machine."""
    pip = _pip()
    return Registries(_resolvers(), _authorities(pip.pop("cert", "")), pip, _folders(pip), _apt())


def _resolvers() -> tuple[str, ...]:
    for path in RESOLVERS:
        if path.exists():
            lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
            found = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
            if outside := tuple(name for name in found if ":" not in name and not name.startswith("127.")):
                return outside
    return ()


def _authorities(pip_bundle: str) -> dict[str, str]:
    files = sorted(LOCAL_AUTHORITIES.rglob("*.crt")) if LOCAL_AUTHORITIES.is_dir() else []
    found = {path.name: path.read_text(encoding="utf-8") for path in files}
    named = [pip_bundle, *(os.environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))]
    for bundle in {Path(name) for name in named if name} - {SYSTEM_BUNDLE}:
        if bundle.is_file():
            for text in CERTIFICATE.findall(bundle.read_text(encoding="utf-8")):
                found[f"lab-{hashlib.sha256(text.encode()).hexdigest()[:16]}.crt"] = text + "\n"
    return found


def _pip() -> dict[str, str]:
    """Merge pip's settings as it would: the files' sections, then the environment."""
    done = run([sys.executable, "-m", "pip", "config", "list"], check=False)
    sections: dict[str, dict[str, str]] = {}
    for line in done.stdout.splitlines():
        match = re.fullmatch(r"(global|install|download|:env:)\.([a-z-]+)=(.+)", line)
        if match:
            sections.setdefault(match[1], {})[match[2]] = " ".join(str(ast.literal_eval(match[3])).split())
    merged: dict[str, str] = {}
    for section in ("global", "download", "install", ":env:"):
        merged.update(sections.get(section, {}))
    return {key: merged[key] for key in (*PIP_KEYS, "cert") if key in merged}


def _folders(pip: dict[str, str]) -> tuple[Path, ...]:
    found = set()
    for key in ("index-url", "extra-index-url", "find-links"):
        for value in pip.get(key, "").split():
            parts = urlsplit(value)
            if parts.scheme in ("", "file") and Path(parts.path).is_absolute() and Path(parts.path).exists():
                found.add(_served(Path(parts.path)))
    return tuple(sorted(found))


def _served(path: Path) -> Path:
    """Return the folder to show for an index: its pages link to files beside them (../../files/…)."""
    return path.parent if path.name == "simple" else path


def _apt() -> str:
    try:
        settings = run(["apt-config", "dump", "--no-empty"]).stdout
    except LabError:  # not a Debian
        return ""
    lines = [line for line in settings.splitlines() if re.match(r"Acquire::(http|https)::Proxy\b", line)]
    return "\n".join([*lines, ""]) if lines else ""
