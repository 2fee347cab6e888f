"""Print which of the packages that are its arguments cannot be imported here, and which Python this is, as JSON."""

import importlib.util
import json
import platform
import sys

lacking = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
print(json.dumps({"lacking": lacking, "base": sys.base_prefix, "version": platform.python_version()}))
