"""What fast rounds replace in flwr is compared with flwr 1.41.0 first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import flwr
import pytest

from fast_rounds import seams

PACKAGE = Path(seams.__file__).parent
FLWR = Path(flwr.__file__).parent
GROUPS = [seams.SUPERNODE, seams.SUPERLINK, seams.DIRECT, seams.HOLD, seams.EXECUTOR, seams.SERVERAPP]


@pytest.mark.parametrize("group", GROUPS)
def test_the_installed_flwr_is_the_one_that_this_was_written_for(group: tuple[seams.Seam, ...]) -> None:
    assert seams.differing(group) == []


def test_a_name_that_is_gone_differs() -> None:
    gone = (seams.Seam("flwr.supernode.gone", "x", "0"), seams.Seam("flwr", "gone", "0"))
    assert seams.differing(gone) == ["flwr.supernode.gone.x", "flwr.gone"]


@pytest.mark.parametrize(
    ("module", "what", "check"),
    [
        ("supernode/start_client_internal.py", "the SuperNode", "supernode"),
        ("supercore/protobuf/translation.py", "the SuperLink", "superlink"),
        ("supercore/protobuf/translation.py", "the SuperNode", "supernode"),
        ("superlink/runtime/run_serverapp.py", "the ServerApp", "serverapp"),
        ("supercore/superexec/executor/subprocess_executor.py", "the executor", "superexec"),
    ],
)
def test_an_altered_flwr_runs_stock_and_one_line_says_so(tmp_path: Path, module: str, what: str, check: str) -> None:
    # A flwr of which one file is another: links to the rest.
    mirrored = tmp_path / "flwr"
    mirror(FLWR, mirrored, FLWR / module)
    source = (FLWR / module).read_text()
    for words in ("time.sleep(3)", "grid.close()", "args = [", "await request.body()"):
        source = source.replace(words, f"{words}  # altered")
    assert source != (FLWR / module).read_text()
    (mirrored / module).write_text(source)
    code = f"""
import sys
sys.argv = ["{check}"]
from fast_rounds import {check}, seams, warm
warm.start = lambda preload: sys.exit("a warm process")
warm.wanted = lambda *_: True
import flwr.supernode.cli, flwr.superlink.cli, importlib
command = importlib.import_module("flwr.supercore.cli.flower_superexec")
for package, name in ((flwr.supernode.cli, "flower_supernode"), (flwr.superlink.cli, "flwr_serverapp"),
                      (flwr.superlink.cli, "flower_superlink"),
                      (command, "flower_superexec")):
    setattr(package, name, lambda name=name: print("started", name))
{check}.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{PACKAGE.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert len(lines) == 2, lines
    said = next(line for line in lines if "fast_rounds:" in line)
    assert f"{what} runs stock, without it: not as in flwr 1.41.0: flwr." in said
    assert any(line.startswith("started f") for line in lines)


def mirror(source: Path, target: Path, altered: Path) -> None:
    """Make `target` a folder like `source` without the file `altered`; the folders above it are real ones."""
    target.mkdir()
    for entry in source.iterdir():
        if entry in altered.parents:
            mirror(entry, target / entry.name, altered)
        elif entry != altered and entry.name != "__pycache__":
            (target / entry.name).symlink_to(entry)
