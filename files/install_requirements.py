"""Install requirements.txt into the running environment, with the build of torch that this machine can use.

PyPI's torch for x86_64 Linux brings 3 GB of CUDA packages; a machine without a GPU takes PyTorch's own CPU build.
`TORCH=cuda` in the environment asks for the GPU build, `TORCH=cpu` for the other, wherever it runs.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

OLDEST = (3, 11)  # what flwr needs
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def wants_cpu_build() -> bool:
    """Return whether this machine is one for the CPU build."""
    asked = os.environ.get("TORCH", "auto")
    if asked not in ("auto", "cpu", "cuda"):
        sys.exit(f"TORCH={asked} (environment) is not allowed; allowed: auto, cpu, cuda")
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    return asked == "cpu" or (asked == "auto" and shutil.which("nvidia-smi") is None)


def index_answers(index: str) -> bool:
    """Return whether the index can be reached; a closed network has its own ways to a CPU build (pip's settings)."""
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def main() -> int:
    """Run pip and return its exit status."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"Python {platform.python_version()} is too old; allowed: 3.11 or later (make PYTHON=/path/to/python3.11)"
        )
    project = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-compile"]  # Python compiles what is imported, when it first is
    for name in sys.argv[1:] or ["requirements.txt"]:
        command += ["-r", str(project / name)]
    if wants_cpu_build() and index_answers(CPU_INDEX):
        command += ["--extra-index-url", CPU_INDEX]
    return subprocess.run(command, cwd=project, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
