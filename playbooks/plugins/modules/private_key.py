"""An elliptic-curve private key, made on the host that uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: private_key
short_description: Make an elliptic-curve private key where there is none
description:
  - Makes a key on NIST P-384 and returns its public half. The private half never leaves the host.
  - Needs a Python with the package cryptography, which flwr brings.
options:
  path: {description: File of the private key., type: path, required: true}
  format:
    description: OpenSSH's format, as a SuperNode wants it, or PKCS 8 in PEM, as TLS servers do.
    choices: [openssh, pkcs8]
    type: str
    required: true
  owner: {description: Owner of the file; set by root alone., type: str}
  python: {description: 'The Python that has cryptography; left out, the one that runs this.', type: path}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none, details: a key is never shown}
"""
EXAMPLES = """
- name: Make the SuperNode's key
  private_key:
    path: /var/lib/flowerbed/keys/supernode
    format: openssh
    python: /opt/flowerbed/venv/bin/python
"""
RETURN = """
public_openssh: {description: The public key in OpenSSH's format., type: str, returned: when the key is there}
public_pem: {description: The public key in PEM., type: str, returned: when the key is there}
"""


# Reads a private key, or makes one where it is given nothing. It has a Python of its own: to have Ansible
# start that one takes a small board longer than all of this.
KEYS = """
import json, sys
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
form, private = sys.argv[1], sys.stdin.buffer.read()
if not private:
    encoding = serialization.PrivateFormat.OpenSSH if form == "openssh" else serialization.PrivateFormat.PKCS8
    private = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, encoding, serialization.NoEncryption()
    )
load = serialization.load_ssh_private_key if form == "openssh" else serialization.load_pem_private_key
try:
    public = load(private, password=None).public_key()
except (ValueError, TypeError) as error:  # TypeError: it has a passphrase
    print(json.dumps({"fault": str(error).split(". See https:")[0]}))
    sys.exit()
openssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
public = {"public_openssh": openssh.decode(), "public_pem": pem.decode()}
print(json.dumps({"private": private.decode(), "public": public}))
"""


class NoKeyError(Exception):
    """What is given is no such key; says why."""


class PythonError(Exception):
    """The Python that is to have cryptography did not do its work; says why."""


def key_of(python: str, form: str, private: bytes) -> dict[str, Any]:
    """Return a key and its public half in both formats; a new one where it is given nothing.

    Raises:
        NoKeyError: what is given is no such key.
        PythonError: that Python cannot be started, has no cryptography, or was ended.
    """
    try:
        done = subprocess.run([python, "-c", KEYS, form], input=private, capture_output=True, check=True)
    except OSError as error:
        raise PythonError(f"{python} cannot be started: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {error.returncode}"]
        raise PythonError(f"{python} makes no keys: {said[-1]}") from error
    key: dict[str, Any] = json.loads(done.stdout)
    if "fault" in key:
        raise NoKeyError(key["fault"])
    return key


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
            "python": {"type": "path"},
        },
        supports_check_mode=True,
    )
    path, form = module.params["path"], module.params["format"]
    python = module.params["python"] or sys.executable
    result: dict[str, Any] = {"changed": not os.path.exists(path)}
    try:
        if not result["changed"]:
            with open(path, "rb") as file:
                result.update(key_of(python, form, file.read() or b"(nothing)")["public"])
        elif not module.check_mode:
            key = key_of(python, form, b"")
            write_private(path, key["private"].encode())
            result.update(key["public"])
    except NoKeyError as fault:
        line = f"{path} holds no private key in {form} format ({fault}); put it back, or remove it for a new one"
        module.fail_json(msg=line, user_errors=[line])
    except (OSError, PythonError) as fault:
        module.fail_json(msg=f"{path}: {fault}")
    if os.path.exists(path):
        result["changed"] = module.set_mode_if_different(path, "0600", result["changed"])
        if module.params["owner"]:
            result["changed"] = module.set_owner_if_different(path, module.params["owner"], result["changed"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
