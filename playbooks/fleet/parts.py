"""`python -m fleet.parts APP HOOK CACHE …`: have an app make its data parts, with the run configuration on stdin.

Becomes the hook, a module in the folder of the app: `python -m HOOK --config FILE --cache CACHE …`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fleet import private


def main(app: str, hook: str, cache: str, *more: str) -> None:
    """Write the configuration into the cache, and become the hook."""
    config = Path(cache) / "config.json"
    try:
        private.write(config, sys.stdin.read())
    except OSError as error:
        sys.exit(f"{config}: {error.strerror}")
    path = os.pathsep.join([app, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", hook, "--config", str(config), "--cache", cache, *more]
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})


if __name__ == "__main__":
    main(*sys.argv[1:])
