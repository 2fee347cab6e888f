"""Say when the fleet's certificates end."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from fleet.terminal import warn

DOCUMENTATION = """
module: check_certificates
short_description: Warn of certificates that end soon, and refuse to go on with one that has ended
description:
  - Reads the CA's certificate and the server's on the controller, where they were signed. One that is not there says
    nothing.
options:
  folder: {description: The CA's folder on the controller., type: path, required: true}
  server: {description: 'Inventory name of the server, as its certificate is called.', type: str, required: true}
  days: {description: How long before its end a certificate is warned of., type: int, default: 30}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Look when the certificates end
  check_certificates: {folder: .fleet/ca, server: localserver}
"""
RETURN = """
ends: {description: The end of each certificate in UTC., type: dict, returned: success}
user_errors: {description: A line for each that has ended., type: list, elements: str, returned: failure}
"""
ARGUMENTS = {
    "folder": {"type": "path", "required": True},
    "server": {"type": "str", "required": True},
    "days": {"type": "int", "default": 30},
}
# The CA's is on each device, to which provision.yml brings the new one.
RENEW = {"CA": "provision.yml", "server": "renew_certificates.yml"}


class ActionModule(ActionBase):  # type: ignore[misc]
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        now, ends, errors = datetime.datetime.now(datetime.UTC), {}, []
        for who, name in (("CA", "ca"), ("server", arguments["server"])):
            path = Path(arguments["folder"], f"{name}.crt")
            if not path.is_file():
                continue
            renew = f"run: ansible-playbook playbooks/{RENEW[who]}"
            if (end := _end(path)) is None:
                errors.append(f"{path} is no certificate; {renew}")
                continue
            ends[who] = end.isoformat()
            if end < now:
                errors.append(f"the {who}'s certificate ended on {end:%Y-%m-%d}: no device trusts it; {renew}")
            elif end - now < datetime.timedelta(days=arguments["days"]):
                warn(f"the {who}'s certificate ends on {end:%Y-%m-%d}; before that, {renew}")
        if errors:
            return {"failed": True, "msg": "\n".join(errors), "user_errors": errors}
        return {"changed": False, "ends": ends}


def _end(path: Path) -> datetime.datetime | None:
    from cryptography import x509  # late: Ansible loads all actions that a playbook names, cryptography takes a while

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except ValueError:
        return None
