"""fleet.bundle: an app as one file that Flower takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from flwr.cli.build import build_fab_from_disk

from fleet.bundle import bundle, kept
from unit.driving import APP, write_app

SERVER = "from flwr.serverapp import ServerApp\napp = ServerApp()\n"
CLIENT = "from flwr.clientapp import ClientApp\napp = ClientApp()\n"


def mine(folder: Path, project: str = APP) -> Path:
    app = write_app(folder, project, mine__server=SERVER, mine__client=CLIENT, mine__tests="x = 1\n")
    (app / "mine" / "__init__.py").touch()
    return app


def unpack(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


def test_packs_what_flower_would_pack(tmp_path: Path) -> None:
    app = mine(tmp_path / "app")
    name = bundle(app, tmp_path / "out")
    there = unpack(tmp_path / "out" / name, tmp_path / "there")
    assert (there / "mine" / "client.py").read_text() == CLIENT
    build_fab_from_disk(there)  # what `flwr run` does with it on the server


def test_takes_a_folder_with_an_underscore(tmp_path: Path) -> None:
    assert bundle(mine(tmp_path / "my_app"), tmp_path / "out").endswith(".fab")


def test_what_the_app_excludes_stays_out_and_flower_takes_the_rest_again(tmp_path: Path) -> None:
    app = mine(tmp_path / "app", APP.replace('publisher = "me"', 'publisher = "me"\nfab-exclude = ["mine/tests.py"]'))
    there = unpack(tmp_path / "out" / bundle(app, tmp_path / "out"), tmp_path / "there")
    assert not (there / "mine" / "tests.py").exists()
    assert "fab-exclude" not in tomllib.loads((there / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    build_fab_from_disk(there)


def test_the_name_says_the_content(tmp_path: Path) -> None:
    app = mine(tmp_path / "app")
    first = bundle(app, tmp_path / "out")
    assert bundle(app, tmp_path / "out") == first
    (app / "mine" / "client.py").write_text(CLIENT + "# changed\n")
    assert bundle(app, tmp_path / "out") != first
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".fab", ".fab", ".json"]


def test_an_app_that_flower_refuses_is_told_in_one_line(tmp_path: Path) -> None:
    cases = {
        "no-code": write_app(tmp_path / "no-code"),
        "bad-name": mine(tmp_path / "bad-name", APP.replace('"mine.server:app"', '"mine.server"')),
    }
    (mine(tmp_path / "no-python") / "mine" / "server.py").write_text("def (\n")
    cases["no-python"] = tmp_path / "no-python"
    for app in cases.values():
        done = subprocess.run(
            [sys.executable, "-m", "fleet.bundle", str(app), str(tmp_path / "out")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_an_app_is_packed_again_only_after_a_change(tmp_path: Path) -> None:
    app, out = mine(tmp_path / "app"), tmp_path / "out"
    assert kept(app, out) is None
    name = bundle(app, out)
    assert kept(app, out) == name
    assert kept(mine(tmp_path / "other"), out) is None
    client = app / "mine" / "client.py"
    written = client.stat()
    client.write_text(CLIENT.replace("app", "ppa", 1))
    os.utime(client, ns=(written.st_atime_ns, written.st_mtime_ns))
    assert client.stat().st_size == written.st_size
    assert kept(app, out) is None
    assert kept(app, tmp_path / "nowhere") is None
    (out / (again := bundle(app, out))).unlink()
    assert again != name
    assert kept(app, out) is None
