"""A user's mistake is one clear line, before any host is touched: the table in bad_input.py, by the real commands."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

import forked_ansible
from fl_app import prepare
from fl_app.settings import defaults
from fleet.holder import hold

from .bad_input import CERTIFICATES, DATA, FILES, INVENTORIES, SETTINGS, THROUGH_THE_PLAYBOOK, VARIABLE_FILES, Case
from .conftest import LocalFleet

PLAYED = [*SETTINGS, *INVENTORIES, *VARIABLE_FILES, *FILES, *CERTIFICATES]
PLAYED += [one for one in DATA if one.id in THROUGH_THE_PLAYBOOK]


@pytest.fixture
def untouched(tmp_path: Path) -> LocalFleet:
    """A fleet that was never provisioned: whatever a test starts on it would be seen."""
    return LocalFleet(tmp_path, devices=2)


def refusal(fleet: LocalFleet, *settings: str, playbook: str = "run_fl", forked: bool = False) -> list[str]:
    """Run a playbook that is to refuse, as a user does or from a fork; return its lines of error."""
    before = list(fleet.results.rglob("*"))
    command = fleet.command(playbook, *settings)
    done = forked_ansible.of_the_project().play(command[1:], 120) if forked else fleet.play(playbook, *settings)
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "Traceback" not in said
    assert "fatal:" not in said
    assert not fleet.processes()
    assert not list((fleet.folder / "state").glob("*/supervisor"))
    assert list(fleet.results.rglob("*")) == before
    errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    assert errors, said
    return errors


def write(folder: Path, case: Case) -> tuple[list[str], str]:
    """Write a case's files; return what is given and what is said, with the folder's name in them."""

    def placed(text: str) -> str:
        return text.replace("{folder}", str(folder))

    for name, content in case.files.items():
        path = folder / name
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(
                content if isinstance(content, bytes) else content.replace("{folder}", str(folder)).encode()
            )
    return [word.replace("{folder}", str(folder)) for word in case.given], case.says.replace("{folder}", str(folder))


@pytest.mark.parametrize("case", PLAYED, ids=lambda case: case.id)
def test_it_is_told_in_one_line_and_nothing_is_started(tmp_path: Path, case: Case) -> None:
    fleet = LocalFleet(tmp_path, devices=2, host_vars=dict(case.hosts))
    given, says = write(tmp_path, case)
    (line,) = refusal(fleet, *given, playbook=case.playbook, forked=True)
    assert says in line


@pytest.mark.parametrize("case", [one for one in DATA if one.id not in THROUGH_THE_PLAYBOOK], ids=lambda case: case.id)
def test_data_that_cannot_be_trained_on_are_told_in_one_line(
    tmp_path: Path, case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    given, says = write(tmp_path, case)
    config = defaults()
    for word in given:
        name, _, value = shlex.split(word)[0].partition("=")
        key = name.replace("_", "-")
        config[key] = type(config[key])(value)
    (tmp_path / "config.json").write_text(json.dumps(config))
    status = prepare.main(["--config", f"{tmp_path}/config.json", "--cids", "0,1", "--cache", f"{tmp_path}/cache"])
    said = capsys.readouterr()
    assert status == 2
    assert said.out == ""
    assert says in said.err.splitlines()[-1]


def test_every_mistake_is_named_at_once(untouched: LocalFleet) -> None:
    assert len(refusal(untouched, "rounds=0", "lr=x", "colour=red")) == 3


def test_the_table_is_as_long_as_was_promised() -> None:
    assert len({one.id for one in (*PLAYED, *DATA)}) >= 40


@pytest.mark.parametrize("playbook", ["provision", "run_fl"])
def test_a_second_playbook_is_told_who_holds_the_fleet(untouched: LocalFleet, playbook: str) -> None:
    hold(untouched.folder / "state/holder.json", os.getpid(), "run_fl.yml")
    (said,) = refusal(untouched, playbook=playbook)
    assert "the fleet is held by run_fl.yml, which " in said
    assert f"(process {os.getpid()}); allowed: one playbook at a time" in said


def test_a_fleet_that_is_not_provisioned_says_so(untouched: LocalFleet) -> None:
    said = refusal(untouched, "rounds=1")
    assert all(line.endswith(" is not provisioned; run: ansible-playbook playbooks/provision.yml") for line in said)
