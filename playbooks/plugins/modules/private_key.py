"""An elliptic-curve private key, made on the host that uses it."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

DOCUMENTATION = """
module: private_key
short_description: Make an elliptic-curve private key where there is none
description:
  - Makes a key on NIST P-384 and returns its public half. The private half never leaves the host.
  - Needs the Python package cryptography, which flwr brings; run it with the interpreter of that virtual
    environment.
options:
  path: {description: File of the private key., type: path, required: true}
  format:
    description: OpenSSH's format, as a SuperNode wants it, or PKCS 8 in PEM, as TLS servers do.
    choices: [openssh, pkcs8]
    type: str
    required: true
  owner: {description: Owner of the file; set by root alone., type: str}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none, details: a key is never shown}
"""
EXAMPLES = """
- name: Make the SuperNode's key
  private_key:
    path: /var/lib/flowerbed/keys/supernode
    format: openssh
  vars:
    ansible_python_interpreter: /opt/flowerbed/venv/bin/python
"""
RETURN = """
public_openssh: {description: The public key in OpenSSH's format., type: str, returned: when the key is there}
public_pem: {description: The public key in PEM., type: str, returned: when the key is there}
"""


def new_key(form: str) -> bytes:
    """Return a new private key, encoded."""
    encoding = serialization.PrivateFormat.OpenSSH if form == "openssh" else serialization.PrivateFormat.PKCS8
    return ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, encoding, serialization.NoEncryption()
    )


def public_halves(private: bytes, form: str) -> dict[str, str]:
    """Return the public key in both formats."""
    load = serialization.load_ssh_private_key if form == "openssh" else serialization.load_pem_private_key
    public = load(private, password=None).public_key()
    openssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {"public_openssh": openssh.decode(), "public_pem": pem.decode()}


def write_private(path: str, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    beside = f"{path}.new"
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "format": {"choices": ["openssh", "pkcs8"], "required": True},
            "owner": {"type": "str"},
        },
        supports_check_mode=True,
    )
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"))
    path, form = module.params["path"], module.params["format"]
    result: dict[str, Any] = {"changed": not os.path.exists(path)}
    if result["changed"] and not module.check_mode:
        write_private(path, new_key(form))
    if os.path.exists(path):
        result["changed"] = module.set_mode_if_different(path, "0600", result["changed"])
        if module.params["owner"]:
            result["changed"] = module.set_owner_if_different(path, module.params["owner"], result["changed"])
        try:
            with open(path, "rb") as file:
                result.update(public_halves(file.read(), form))
        except (OSError, ValueError, TypeError) as error:  # TypeError: it has a passphrase
            why = str(error).split(". See https:")[0]
            line = f"{path} holds no private key in {form} format ({why}); put it back, or remove it for a new one"
            module.fail_json(msg=line, user_errors=[line])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
