"""What an NVIDIA Jetson is: its board, its L4T release and what of JetPack is installed."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: jetson_facts
short_description: Find out which NVIDIA Jetson a host is, and what of JetPack it has
description:
  - Reads the device tree, C(/etc/nv_tegra_release) and dpkg. On a host that is no Jetson RV(jetson) is V(false).
  - Where the release's file is missing, as in a system that was put together by hand, the version of
    C(nvidia-l4t-core) tells the release.
options:
  device_tree: {description: Folder of the device tree., type: path, default: /proc/device-tree}
  release_file: {description: File that names the L4T release., type: path, default: /etc/nv_tegra_release}
  known:
    description: First numbers of the L4T releases that are known, for RV(known) and RV(nearest).
    type: list
    elements: int
    default: []
  program: {description: What asks dpkg., type: str, default: dpkg-query}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
"""
EXAMPLES = """
- name: Find out which Jetson this is
  jetson_facts: {}
  register: board
"""
RETURN = """
jetson: {description: Whether it is a Jetson., type: bool, returned: success}
board: {description: The board's name., type: str, returned: success, sample: NVIDIA Jetson Xavier NX Developer Kit}
release: {description: 'The L4T release; empty where nothing tells it.', type: str, returned: success, sample: 36.4.7}
major: {description: Its first number; 0 where nothing tells it., type: int, returned: success}
known: {description: Whether it is one of O(known)., type: bool, returned: success}
nearest: {description: 'The nearest of O(known), the older one of two; 0 without one.', type: int, returned: success}
origin: {description: What told the release., type: str, returned: success}
jetpack: {description: Version of the package nvidia-jetpack; empty without it., type: str, returned: success}
components:
  description: Versions of JetPack's parts that are installed.
  type: dict
  returned: success
  sample: {cuda: 12.6.11-1, cudnn: 9.3.0.75-1, tensorrt: 10.3.0.30-1, container: 1.16.2-1}
"""
RELEASE = re.compile(r"^# R(\d+) \(release\), REVISION: ([\d.]+)", re.MULTILINE)
# Names differ from JetPack to JetPack: the first that is installed counts.
COMPONENTS = {
    "cuda": ("cuda-cudart-*", "cuda-toolkit-*", "nvidia-cuda"),
    "cudnn": ("libcudnn*",),
    "tensorrt": ("libnvinfer[0-9]*",),
    "container": ("nvidia-container-toolkit",),
}
L4T, JETPACK = "nvidia-l4t-core", "nvidia-jetpack"


def read(path: str) -> str:
    """Return a file's text, without the NUL that ends a property of the device tree; empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().replace("\0", "\n")
    except OSError:
        return ""


def release_of(text: str, l4t_core: str) -> str:
    """Return the release, as `36.4.7`, of /etc/nv_tegra_release, else of nvidia-l4t-core (`36.4.7-20250918154033`)."""
    found = RELEASE.search(text)
    return f"{found[1]}.{found[2]}" if found else l4t_core.partition("-")[0]


def installed(shown: str) -> dict[str, str]:
    """Return the packages that dpkg-query shows as installed, name to version."""
    lines = (line.split() for line in shown.splitlines())
    return {words[1]: words[2] for words in lines if len(words) == 3 and words[0] == "installed"}


def components(packages: dict[str, str]) -> dict[str, str]:
    """Return the versions of JetPack's parts, as far as they are there."""
    found: dict[str, str] = {}
    for part, patterns in COMPONENTS.items():
        names = [name for pattern in patterns for name in sorted(packages) if fnmatch.fnmatchcase(name, pattern)]
        if names:
            found[part] = packages[names[0]]
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "device_tree": {"type": "path", "default": "/proc/device-tree"},
            "release_file": {"type": "path", "default": "/etc/nv_tegra_release"},
            "known": {"type": "list", "elements": "int", "default": []},
            "program": {"type": "str", "default": "dpkg-query"},
        },
        supports_check_mode=True,
    )
    tree, release_file = module.params["device_tree"], module.params["release_file"]
    board = read(f"{tree}/model").strip()
    text = read(release_file)
    result: dict[str, Any] = {
        "jetson": bool(RELEASE.search(text))
        or bool(re.search(r"^nvidia,tegra", read(f"{tree}/compatible"), re.MULTILINE)),
        "board": board,
        "release": "",
        "major": 0,
        "known": False,
        "nearest": 0,
        "origin": "",
        "jetpack": "",
        "components": {},
    }
    if result["jetson"]:
        wanted = [L4T, JETPACK, *(pattern for patterns in COMPONENTS.values() for pattern in patterns)]
        shown = "--showformat=${db:Status-Status} ${Package} ${Version}\n"
        # Its status is 1 where one of the names is unknown.
        _, out, _ = module.run_command([module.params["program"], "--show", shown, *wanted])
        packages = installed(out)
        release = release_of(text, packages.get(L4T, ""))
        if release:
            result["origin"] = release_file if RELEASE.search(text) else f"package {L4T}"
        result["release"] = release
        result["major"] = int(release.split(".")[0]) if release.split(".")[0].isdecimal() else 0
        if result["major"]:
            known = sorted(module.params["known"])
            result["known"] = result["major"] in known
            result["nearest"] = min(known, key=lambda number: abs(number - result["major"]), default=0)
        result["jetpack"] = packages.get(JETPACK, "")
        result["components"] = components(packages)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
