"""The modules private_key and certificate."""

from __future__ import annotations

import datetime
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from unit.driving import run_module


def key(path: Path, form: str = "pkcs8", **more: Any) -> dict[str, Any]:
    return run_module("private_key", {"path": str(path), "format": form}, **more)


def key_by(path: Path, python: Path) -> dict[str, Any]:
    return run_module("private_key", {"path": str(path), "format": "pkcs8", "python": str(python)})


@pytest.mark.parametrize("form", ["openssh", "pkcs8"])
def test_makes_a_key_once(tmp_path: Path, form: str) -> None:
    path = tmp_path / "key"
    assert key(path, form, check=True) == {**key(path, form, check=True), "changed": True}
    assert not path.exists()
    first = key(path, form)
    assert first["changed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    second = key(path, form)
    assert not second["changed"]
    assert path.read_bytes() == content
    assert second["public_openssh"] == first["public_openssh"]
    assert os.listdir(tmp_path) == ["key"]


def test_the_public_halves_are_of_that_key_and_the_private_one_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "key"
    result = key(path, "openssh")
    private = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.curve.name == "secp384r1"
    public = private.public_key()
    assert serialization.load_ssh_public_key(result["public_openssh"].encode()) == public
    assert serialization.load_pem_public_key(result["public_pem"].encode()) == public
    assert "PRIVATE" not in str(result)


def test_closes_a_key_that_others_may_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key(path)
    path.chmod(0o644)
    assert key(path, check=True)["changed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert key(path)["changed"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_leaves_a_file_that_is_no_such_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    locked = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    for content in (b"something else", locked):
        path.write_bytes(content)
        result = key(path)
        assert f"{path} holds no private key in pkcs8 format" in result["msg"]
        assert path.read_bytes() == content


@pytest.mark.parametrize("there", [False, True])
def test_a_python_that_makes_no_keys_is_named_and_not_the_key(tmp_path: Path, there: bool) -> None:
    path, bare = tmp_path / "key", tmp_path / "python"
    if there:
        key(path)
    before = path.read_bytes() if there else None
    for content, says in (
        (None, "cannot be started"),
        ("echo No module named cryptography >&2; exit 1", "No module named"),
    ):
        if content:
            bare.write_text(f"#!/bin/sh\n{content}\n", encoding="utf-8")
            bare.chmod(0o755)
        result = key_by(path, bare)
        assert str(bare) in result["msg"]
        assert says in result["msg"]
        assert "remove it" not in result["msg"]
        assert (path.read_bytes() if path.exists() else None) == before


class Authority:
    """A CA in a folder, and a server's key that it may sign."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        key(folder / "ca.key")
        self.server = key(folder / "server.key")["public_pem"]
        self.options: dict[str, Any] = {"ca_key": str(folder / "ca.key")}

    def root(self, *, check: bool = False, **more: Any) -> dict[str, Any]:
        given = {"path": str(self.folder / "ca.crt"), "common_name": "test CA", "days": 3650, **self.options, **more}
        return run_module("certificate", given, check=check)

    def sign(self, *, check: bool = False, **more: Any) -> dict[str, Any]:
        given = {
            "path": str(self.folder / "server.crt"),
            "ca_path": str(self.folder / "ca.crt"),
            "public_key": self.server,
            "common_name": "server",
            "names": ["localhost", "127.0.0.1", "fd00::1"],
            "days": 397,
            **self.options,
            **more,
        }
        return run_module("certificate", given, check=check)

    def load(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / name).read_bytes())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    found = Authority(tmp_path / "ca")
    found.root()
    found.sign()
    return found


def test_the_first_ones_are_made_and_the_second_time_changes_nothing(tmp_path: Path) -> None:
    fresh = Authority(tmp_path / "ca")
    assert fresh.root(check=True)["reason"] == "missing"
    assert not (fresh.folder / "ca.crt").exists()
    assert fresh.root()["reason"] == "missing"
    assert fresh.sign(check=True)["changed"]
    assert not (fresh.folder / "server.crt").exists()
    assert fresh.sign()["reason"] == "missing"
    before = {path.name: path.read_bytes() for path in fresh.folder.iterdir()}
    for again in (fresh.root(), fresh.sign()):
        assert not again["changed"]
        assert "reason" not in again
    assert {path.name: path.read_bytes() for path in fresh.folder.iterdir()} == before


def test_check_mode_before_the_ca_has_a_key(tmp_path: Path) -> None:
    given = {"path": str(tmp_path / "ca.crt"), "ca_key": str(tmp_path / "ca.key"), "common_name": "CA", "days": 10}
    assert run_module("certificate", given, check=True)["changed"]
    assert os.listdir(tmp_path) == []


def test_the_servers_certificate_is_for_its_names_and_signed_by_a_ca_that_may(authority: Authority) -> None:
    ca, server = authority.load("ca.crt"), authority.load("server.crt")
    server.verify_directly_issued_by(ca)
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(name) for name in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "fd00::1"]
    assert server.not_valid_before_utc < datetime.datetime.now(datetime.UTC)  # clocks of devices differ


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"names": ["localhost"]}, "for other names"),
        ({"names": ["localhost", "127.0.0.1", "fd00::1", "192.168.1.10"]}, "for other names"),
        ({"renew_days": 398}, "ends on "),
    ],
)
def test_is_made_anew(authority: Authority, change: dict[str, Any], reason: str) -> None:
    before = authority.load("server.crt")
    assert authority.sign(check=True, **change)["reason"].startswith(reason)
    assert authority.load("server.crt") == before
    assert authority.sign(**change)["reason"].startswith(reason)
    assert authority.load("server.crt").serial_number != before.serial_number


def test_the_order_of_names_does_not_matter(authority: Authority) -> None:
    assert not authority.sign(names=["fd00::1", "127.0.0.1", "localhost"])["changed"]


def test_is_made_anew_for_another_key(authority: Authority) -> None:
    (authority.folder / "server.key").unlink()
    other = key(authority.folder / "server.key")["public_pem"]
    assert authority.sign(public_key=other)["reason"] == "made for another key"
    assert not authority.sign(public_key=other)["changed"]


def test_is_made_anew_after_another_ca(authority: Authority) -> None:
    (authority.folder / "ca.key").unlink()
    key(authority.folder / "ca.key")
    assert authority.root()["reason"] == "made with another key"
    assert authority.sign()["reason"] == "signed by another CA"
    assert not authority.sign()["changed"]
    authority.load("server.crt").verify_directly_issued_by(authority.load("ca.crt"))


def test_outlives_a_renewal_of_the_ca_with_the_same_key(authority: Authority) -> None:
    assert authority.root(renew_days=3651)["reason"].startswith("ends on ")
    assert not authority.sign()["changed"]


def test_is_made_anew_before_its_end_and_not_earlier(authority: Authority) -> None:
    authority.sign(days=40, renew_days=400)
    assert not authority.sign(days=40)["changed"]
    authority.sign(days=29, renew_days=400)
    assert authority.sign()["reason"].startswith("ends on ")
    assert not authority.sign()["changed"]


def test_replaces_what_is_no_certificate_for_names(authority: Authority) -> None:
    path = authority.folder / "server.crt"
    path.write_text("not a certificate")
    assert authority.sign(check=True)["reason"] == "not readable"
    assert path.read_text() == "not a certificate"
    assert authority.sign()["reason"] == "not readable"
    path.write_bytes(nameless(authority))
    assert authority.sign()["reason"] == "for other names"


def nameless(authority: Authority) -> bytes:
    """A certificate by the same CA for the same key that lacks alternative names."""
    ca_key = serialization.load_pem_private_key((authority.folder / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    public = serialization.load_pem_public_key(authority.server.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=authority.load("ca.crt").subject,
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]),
        public_key=public,
        serial_number=x509.random_serial_number(),
        not_valid_before=now,
        not_valid_after=now + datetime.timedelta(days=100),
    )
    return builder.sign(ca_key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM)


def test_a_key_to_certify_needs_the_ca(authority: Authority) -> None:
    assert "ca_path" in authority.sign(ca_path=None)["msg"]
