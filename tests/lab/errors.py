"""The one error of the lab, and the way it runs commands."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# Locks that a command keeps until it ends: where we are killed, nobody cleans up under what we had started.
held: set[int] = set()


class LabError(Exception):
    """What stopped the lab, in one line that a user can act on."""


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and capture what it says.

    Raises:
        LabError: the command is absent, ran longer than `timeout` seconds, or (with `check`) failed.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, input=stdin, env=None if env is None else dict(env), timeout=timeout,
            capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL if stdin is None else None, pass_fds=tuple(held),
        )  # fmt: skip
    except FileNotFoundError:
        raise LabError(f"the command {words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(words)}` did not end within {timeout:g} s") from None
    if check and done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise LabError(f"`{' '.join(words)}` failed with status {done.returncode}: {last}")
    return done
