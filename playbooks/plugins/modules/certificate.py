"""A certificate for TLS: the fleet's CA, or one that the CA signs."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

DOCUMENTATION = """
module: certificate
short_description: Make or renew an X.509 certificate (RFC 5280) with the fleet's CA
description:
  - Without O(public_key), makes the CA's own certificate from O(ca_key).
  - With O(public_key), signs that key for O(names). A CSR is not needed; the public key came from its host over SSH.
  - Makes the certificate anew when it is missing, names others, belongs to another key or CA, or ends within
    O(renew_days).
options:
  path: {description: File of the certificate., type: path, required: true}
  ca_key: {description: Private key of the CA in PEM., type: path, required: true}
  ca_path: {description: Certificate of the CA; needed with O(public_key)., type: path}
  public_key: {description: The key to certify in PEM., type: str}
  common_name: {description: Name of the subject., type: str, required: true}
  names:
    description: Host names and IP addresses that the certificate is for.
    type: list
    elements: str
    default: []
  days: {description: How long it counts., type: int, required: true}
  renew_days: {description: How long before its end it is made anew., type: int, default: 30}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none, details: the reason for a new certificate is returned instead}
"""
EXAMPLES = """
- name: Make the CA's certificate
  certificate: {path: ca/ca.crt, ca_key: ca/ca.key, common_name: flowerbed CA, days: 3650}
- name: Sign the server's key
  certificate:
    path: ca/server.crt
    ca_key: ca/ca.key
    ca_path: ca/ca.crt
    public_key: "{{ key.public_pem }}"
    common_name: server
    names: [localhost, 127.0.0.1, 192.168.1.10]
    days: 397
"""
RETURN = """
reason: {description: Why the certificate is made anew., type: str, returned: changed}
not_after: {description: End date in UTC., type: str, returned: when there is a certificate}
"""


def alternative_names(names: list[str]) -> list[Any]:
    """Return names as subject alternative names: addresses as addresses, the rest as DNS names."""
    found: list[Any] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def reason_for_new(params: dict[str, Any], ca_key: Any, now: datetime.datetime) -> str | None:
    """Return why the certificate at `path` will not do, or None when it will."""
    if not os.path.exists(params["path"]):
        return "missing"
    with open(params["path"], "rb") as file:
        try:
            present = x509.load_pem_x509_certificate(file.read())
        except ValueError:
            return "not readable"
    if present.not_valid_after_utc - now < datetime.timedelta(days=params["renew_days"]):
        return f"ends on {present.not_valid_after_utc:%Y-%m-%d}"
    if params["public_key"] is None:
        return None if present.public_key() == ca_key.public_key() else "made with another key"
    if present.public_key() != serialization.load_pem_public_key(params["public_key"].encode()):
        return "made for another key"
    with open(params["ca_path"], "rb") as file:
        try:
            present.verify_directly_issued_by(x509.load_pem_x509_certificate(file.read()))
        except Exception:  # any reason not to verify is one to sign anew
            return "signed by another CA"
    try:
        named = set(present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        named = set()
    if named != set(alternative_names(params["names"])):
        return "for other names"
    return None


def build(params: dict[str, Any], ca_key: Any, now: datetime.datetime) -> bytes:
    """Return a new certificate in PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, params["common_name"])])
    issuer, public_key, is_ca = subject, ca_key.public_key(), params["public_key"] is None
    if not is_ca:
        public_key = serialization.load_pem_public_key(params["public_key"].encode())
        with open(params["ca_path"], "rb") as file:
            issuer = x509.load_pem_x509_certificate(file.read()).subject
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # A device without a battery-backed clock starts a little in the past.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=params["days"]))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not is_ca, key_cert_sign=is_ca, crl_sign=is_ca, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if not is_ca:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(alternative_names(params["names"])), critical=False
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return bytes(builder.sign(ca_key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "ca_key": {"type": "path", "required": True},
            "ca_path": {"type": "path"},
            "public_key": {"type": "str"},
            "common_name": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "default": []},
            "days": {"type": "int", "required": True},
            "renew_days": {"type": "int", "default": 30},
        },
        required_by={"public_key": "ca_path"},
        supports_check_mode=True,
    )
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"))
    now = datetime.datetime.now(datetime.UTC)
    if not os.path.exists(module.params["ca_key"]) and module.check_mode:
        module.exit_json(changed=True, reason="missing")
    with open(module.params["ca_key"], "rb") as file:
        ca_key = serialization.load_pem_private_key(file.read(), password=None)
    reason = reason_for_new(module.params, ca_key, now)
    if reason and not module.check_mode:
        certificate = build(module.params, ca_key, now)
        with open(f"{module.params['path']}.new", "wb") as file:
            file.write(certificate)
        os.replace(f"{module.params['path']}.new", module.params["path"])
    result: dict[str, Any] = {"changed": reason is not None}
    if reason:
        result["reason"] = reason
    if os.path.exists(module.params["path"]):
        with open(module.params["path"], "rb") as file, contextlib.suppress(ValueError):  # check mode leaves it
            result["not_after"] = x509.load_pem_x509_certificate(file.read()).not_valid_after_utc.isoformat()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
