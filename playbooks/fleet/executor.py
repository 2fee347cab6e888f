"""How fab reads `fab run -- CMD`: named in fabric.yml."""

from __future__ import annotations

from typing import Any

import fabric


class Executor(fabric.Executor):  # type: ignore[misc]
    """Hands the words after `--` to the task `run` as its command.

    Fabric itself takes them for a task of their own, on the hosts of its option -H, which the inventory stands in for.
    """

    def expand_calls(self, calls: list[Any], apply_hosts: bool = True) -> list[Any]:
        """Return the calls to make, with the command in the call of `run`."""
        for call in calls:
            if getattr(call, "name", None) == "run" and self.core.remainder:
                call.kwargs = {**call.kwargs, "cmd": self.core.remainder}
                self.core.remainder = ""
        return list(super().expand_calls(calls, apply_hosts))
