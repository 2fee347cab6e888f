"""A virtual environment with exactly pinned packages, installed from wheels that were handed over."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: python_environment
short_description: A virtual environment that holds packages at their pinned versions
description:
  - Looks at what the environment holds, and installs only what it lacks, with the uv that lies beside the wheels.
    No index is asked, so that a host needs no way out.
  - The environment is made anew where it is of another Python version than O(python).
  - Packages beyond O(packages) and O(unwanted) are left alone.
options:
  path: {description: Folder of the environment., type: path, required: true}
  python: {description: The Python that it is made with., type: path, required: true}
  packages: {description: Pinned version of each package., type: dict, required: true}
  unwanted:
    description: Names of packages; an environment that holds one of them is made anew.
    type: list
    elements: str
    default: []
  wheels:
    description:
      - Folder on the host with the wheels, C(lock.txt) with their hashes, and C(uv). Needed where something lacks, and
        removed once that is installed.
    type: path
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""
EXAMPLES = """
- name: Install what was handed over
  python_environment:
    path: /opt/flowerbed/venv
    python: /usr/bin/python3
    packages: {flwr: 1.41.0}
    wheels: /opt/handed
"""
RETURN = """
lacking: {description: Names of the packages that were not there at their version., type: list, returned: always}
"""

LOOK = """
import importlib.metadata, json, platform, re
found = {re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(): d.version for d in importlib.metadata.distributions()}
print(json.dumps({"python": platform.python_version_tuple()[:2], "packages": found}))
"""


def look(module: AnsibleModule, python: str) -> dict[str, Any]:
    """Return a Python's version and packages; empty where it does not run."""
    if not os.path.exists(python):
        return {}
    status, out, _ = module.run_command([python, "-I", "-c", LOOK])
    found: dict[str, Any] = json.loads(out) if status == 0 else {}
    return found


def lacking(wanted: dict[str, str], found: dict[str, Any]) -> list[str]:
    """Return the names that are not there at their version."""
    there = found.get("packages", {})
    return sorted(name for name, version in wanted.items() if there.get(name) != version)


def listed(names: list[str], versions: dict[str, str]) -> str:
    return "".join(f"{name} {versions[name]}\n" for name in names if name in versions)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "python": {"type": "path", "required": True},
            "packages": {"type": "dict", "required": True},
            "unwanted": {"type": "list", "elements": "str", "default": []},
            "wheels": {"type": "path"},
        },
        supports_check_mode=True,
    )
    path, python = module.params["path"], module.params["python"]
    packages, wheels = module.params["packages"], module.params["wheels"]
    base = look(module, python)
    if not base and not module.check_mode:  # in check mode it may be yet to come
        module.fail_json(msg=f"{python} does not run")
    found = look(module, f"{path}/bin/python")
    if base and found.get("python") != base["python"]:
        found = {}
    if set(module.params["unwanted"]) & set(found.get("packages", {})):
        found = {}
    names = lacking(packages, found)
    diff = {
        "before_header": path,
        "after_header": path,
        "before": listed(names, found.get("packages", {})),
        "after": listed(names, packages),
    }
    changed = bool(names) or not found
    if module.check_mode or not changed:
        module.exit_json(changed=changed, lacking=names, diff=diff)

    if not found:
        # Without pip: ensurepip is a package of its own on Debian.
        module.run_command([python, "-m", "venv", "--clear", "--without-pip", path], check_rc=True)
    if names:
        if not wheels:
            module.fail_json(msg=f"packages are lacking in {path}, and no wheels were handed over: {', '.join(names)}")
        install(module, path, wheels)
        left = lacking(packages, look(module, f"{path}/bin/python"))
        if left:
            module.fail_json(msg=f"still not installed in {path}: {', '.join(left)}")
    module.exit_json(changed=True, lacking=names, diff=diff)


def install(module: AnsibleModule, path: str, wheels: str) -> None:
    """Install every wheel of a folder, each checked against the lock beside it."""
    files = sorted(name for name in os.listdir(wheels) if name.endswith(".whl"))
    pins = {name.split("-")[0].lower().replace("_", "-").replace(".", "-") for name in files}
    with open(f"{wheels}/lock.txt", encoding="utf-8") as lock:
        blocks = lock.read().replace("\\\n", " ").splitlines()
    with open(f"{wheels}/handed.txt", "w", encoding="utf-8") as handed:
        handed.writelines(line + "\n" for line in blocks if line.split("==")[0].replace(".", "-") in pins)
    options = ["--offline", "--no-index", "--no-deps", "--require-hashes", "--compile-bytecode", "--no-config"]
    options += ["--python", f"{path}/bin/python", "--find-links", wheels, "--requirement", f"{wheels}/handed.txt"]
    status, out, err = module.run_command(
        [f"{wheels}/uv", "pip", "install", *options],
        # On the disk that holds the wheels: /tmp may be a small part of a small memory.
        environ_update={"UV_CACHE_DIR": f"{wheels}/cache", "TMPDIR": wheels, "UV_NO_PROGRESS": "1"},
    )
    if status != 0:
        module.fail_json(msg=f"uv could not install the packages: {(err or out).strip()}")
    shutil.rmtree(wheels)
    # uv makes it for everybody to write; nobody else installs here, and the next uv makes its own.
    if os.path.exists(f"{path}/.lock"):
        os.remove(f"{path}/.lock")


if __name__ == "__main__":
    main()
