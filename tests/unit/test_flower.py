"""fleet.flower: what `flwr … --format json` says, with exit status 0 also when it failed."""

from __future__ import annotations

import json
import shlex

import pytest

from fleet import flower

# What flwr 1.41 printed, with exit status 0, when no SuperLink listened.
UNAVAILABLE = """{
  "success": false,
  "error-message": "Using SuperLink: fleet (127.0.0.1:1)\\n Listing all nodes...\\n\\nConnection to the SuperLink is \
unavailable. Please check your network connection and 'address' in the SuperLink connection configuration."
}
"""


def test_returns_what_flower_answered() -> None:
    assert flower.parse('{"success": true, "run-id": "12"}')["run-id"] == "12"


def test_colours_and_lines_around_the_answer_do_not_matter() -> None:
    text = 'migrated {"success": true, "run-id": "12"}\n\nbye'.replace("migrated ", "\x1b[92mINFO\x1b[0m migrated\n")
    assert flower.parse(text)["run-id"] == "12"


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (UNAVAILABLE, "Connection to the SuperLink is unavailable. Please check"),
        ('{"success": false, "error-message": "first\\n last "}', "last"),
        ('{"run-id": "12"}', '{"run-id": "12"}'),
        ("sh: 1: flwr: not found\n", "sh: 1: flwr: not found"),
        ('{"success": tr', '{"success": tr'),
        ("", "flwr printed nothing"),
    ],
)
def test_a_failure_is_told_by_its_last_line(output: str, reason: str) -> None:
    with pytest.raises(flower.FlowerError) as caught:
        flower.parse(output)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_online_nodes_are_those_that_flower_calls_online() -> None:
    nodes = [
        {"node-id": "1", "status": "online", "online-at": "1970-01-01 00:01:00Z"},
        {"node-id": 2, "status": "online", "online-at": "1970-01-01 00:02:00Z"},
        {"node-id": "3", "status": "offline", "online-at": "1970-01-01 00:01:00Z"},
        {"node-id": "4", "status": "registered", "online-at": "N/A"},
    ]
    assert flower.online({"nodes": nodes}) == {"1": 60, "2": 120}


def test_the_command_survives_spaces_in_folders() -> None:
    words = shlex.split(flower.command("/a b/venv", "/c d/flwr", "ls", "fleet"))
    assert words[0] == "env"
    assert "FLWR_HOME=/c d/flwr" in words
    assert words[-5:] == ["/a b/venv/bin/flwr", "ls", "fleet", "--format", "json"]


def test_parses_json_as_a_whole() -> None:
    nested = {"success": True, "nodes": [{"a": {"b": "}"}}]}
    assert flower.parse(json.dumps(nested, indent=2)) == nested
