"""Print what decides which wheels an image needs: its Python, its glibc and its packages, as JSON."""

import importlib.metadata
import json
import platform
import re

found = (distribution.metadata["Name"] for distribution in importlib.metadata.distributions())
print(
    json.dumps(
        {
            "python": platform.python_version(),
            "glibc": platform.libc_ver()[1],
            "packages": sorted({re.sub(r"[-_.]+", "-", name).lower() for name in found}),
        }
    )
)
