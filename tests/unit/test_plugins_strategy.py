"""The strategies: without a fork for what asks nothing of a host, and with one Python that stays on it for a play."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from unit.driving import errors, run_play

WHO = {"ansible.builtin.command": "sh -c 'echo parent=$PPID'"}
SHOWN = ("-v",)  # what went well is left out otherwise
HOSTS = "h[1:3] ansible_connection=local"
# Says in which process a template was evaluated.
EVALUATED_BY = "{{ lookup('ansible.builtin.pipe', 'echo $PPID') }}"
EVERYTHING: list[dict[str, Any]] = [
    {"ansible.builtin.set_fact": {"who": "{{ inventory_hostname }}"}},
    {"ansible.builtin.command": "echo {{ who }}", "register": "said", "when": "who != 'h2'"},
    {"ansible.builtin.debug": {"var": "said.stdout | default('nothing')"}},
    {"ansible.builtin.set_fact": {"many": "{{ who }}-{{ item }}"}, "loop": ["a", "h1"], "when": "who != item"},
    {
        "block": [{"ansible.builtin.assert": {"that": "who != 'h3'", "fail_msg": "it is {{ many }}"}}],
        "rescue": [{"ansible.builtin.debug": {"msg": "{{ many }} goes on"}}],
        "always": [{"ansible.builtin.debug": {"msg": "so does {{ who }}"}}],
    },
    {"refuse": {"lines": ["{{ who }} is refused"]}, "when": "who == 'h1'"},
    {"ansible.builtin.debug": {"msg": "{{ nosuch }}"}, "when": "who == 'h3'"},
    {"ansible.builtin.command": "echo reached", "when": "nosuch"},
]


def parents(output: str) -> list[str]:
    """The process that ran each module."""
    return re.findall(r"^\s+stdout: parent=(\d+)$", output, re.MULTILINE)


@pytest.mark.parametrize(("strategy", "processes"), [("linear", 2), ("persistent", 1)])
def test_modules_share_a_python_under_it_alone(tmp_path: Path, strategy: str, processes: int) -> None:
    done = run_play(tmp_path, [WHO, WHO], *SHOWN, strategy=strategy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(parents(done.stdout)) == 2, done.stdout
    assert len(set(parents(done.stdout))) == processes
    assert "DEPRECATION" not in done.stdout + done.stderr


@pytest.mark.parametrize("strategy", ["linear", "persistent"])
def test_every_core_is_there_for_its_work_and_for_what_it_starts(tmp_path: Path, strategy: str) -> None:
    cores = "taskset --pid --cpu-list $$"
    here = f"{{{{ lookup('ansible.builtin.pipe', '{cores}') }}}}"
    tasks = [{"ansible.builtin.command": {"argv": argv}} for argv in (["echo", here], ["sh", "-c", cores])]
    done = run_play(tmp_path, tasks, *SHOWN, strategy=strategy)
    assert done.returncode == 0, done.stdout + done.stderr
    every = (
        subprocess.run(["sh", "-c", cores], capture_output=True, check=True, text=True).stdout.split(": ")[1].strip()
    )
    found = re.findall(r"^\s+stdout: .*affinity list: ([-0-9,]+)'?$", done.stdout, re.MULTILINE)
    assert found == [every, every], done.stdout


def test_a_module_that_fails_is_told_as_ever(tmp_path: Path) -> None:
    done = run_play(tmp_path, [{"ansible.builtin.command": "false"}, WHO], *SHOWN, strategy="persistent")
    assert done.returncode == 2
    assert parents(done.stdout) == []
    assert "non-zero return code" in done.stdout + done.stderr
    assert errors(done) == []  # no traceback


TIMES = re.compile(r"^\s+(start|end|delta): .*\n", re.MULTILINE)
TASK = re.compile(r"^(?=TASK|PLAY)", re.MULTILINE)
ANSWER = re.compile(r"^(?=\w+: \[|\[ERROR\])", re.MULTILINE)


def in_order_of_hosts(output: str) -> list[str]:
    """What is told, without times; hosts answer a task in any order."""
    return [
        told for task in TASK.split(TIMES.sub("", output)) for told in sorted(x.strip() for x in ANSWER.split(task))
    ]


@pytest.mark.parametrize("strategy", ["unforked", "persistent"])
def test_what_is_told_is_what_ansible_tells(tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for shown in ("OK", "SKIPPED"):
        monkeypatch.setenv(f"ANSIBLE_DISPLAY_{shown}_HOSTS", "1")
    told = {}
    for used in ("linear", strategy):
        folder = tmp_path / "same"  # errors name the file
        done = run_play(folder, EVERYTHING, "-v", "--diff", inventory=HOSTS, hosts="all", strategy=used)
        told[used] = (done.returncode, in_order_of_hosts(done.stdout), sorted(errors(done)))
    assert told[strategy] == told["linear"]
    assert told["linear"][2] == ["h1 is refused"]


@pytest.mark.parametrize(("strategy", "processes"), [("linear", 3), ("unforked", 1), ("persistent", 1)])
def test_facts_are_set_without_a_fork(tmp_path: Path, strategy: str, processes: int) -> None:
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.set_fact": {"by": EVALUATED_BY}},
        {"tell": {"lines": ["evaluated by {{ by }}"]}},
    ]
    done = run_play(tmp_path, tasks, *SHOWN, inventory=HOSTS, hosts="all", strategy=strategy)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^evaluated by (\d+)$", done.stdout, re.MULTILINE)
    assert len(found) == 3, done.stdout
    assert len(set(found)) == processes


def test_a_skipped_task_is_not_evaluated_further(tmp_path: Path) -> None:
    """And one that is not skipped is evaluated once, in its fork."""
    mark = tmp_path / "evaluated"
    argument = f"{{{{ lookup('ansible.builtin.pipe', 'echo ' ~ inventory_hostname ~ ' >> {mark}') }}}}"
    tasks = [{"ansible.builtin.command": {"argv": ["echo", argument]}, "when": "inventory_hostname == 'h2'"}]
    done = run_play(tmp_path, tasks, *SHOWN, inventory=HOSTS, hosts="all", strategy="unforked")
    assert done.returncode == 0, done.stdout + done.stderr
    assert mark.read_text(encoding="utf-8").split() == ["h2"]


def test_ansibles_own_way_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_STRATEGY", "linear")
    done = run_play(tmp_path, [WHO, WHO], *SHOWN, strategy="persistent")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(set(parents(done.stdout))) == 2
