"""Who is asked: a device that hangs costs one round's time, and no other one before it is back."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message

from fl_app.errors import AppError

from .app_fleet import Fleet, app_json, config_of, read_csv, serve

QUICK: dict[str, Any] = {"epochs": 1, "model": "mnist_cnn"}
HANGS = 101


class Hanging(Fleet):
    """One device never answers what it is asked in round 1; where ``started`` says so, it is started anew then."""

    def __init__(self, started: int, **settings: Any) -> None:
        nodes = [{"partition-id": cid, "num-partitions": 3, "host": f"pi-{cid}"} for cid in range(3)]
        super().__init__(config_of(**QUICK, **settings), nodes, self.hangs)
        self.started = started
        self.asked: list[tuple[int, int, str]] = []  # round, node, phase

    def hangs(self, node: int, message: Message) -> Message | None:
        number = int(str(message.content.config_records["config"]["server-round"]))
        self.asked.append((number, node, message.metadata.message_type))
        if number == self.started and node != HANGS:
            self.activated[HANGS] = "anew"
        return None if node == HANGS and self.activated[HANGS] == "once" else message

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return []  # it hangs still


def asked(fleet: Hanging) -> list[tuple[int, str]]:
    return [(number, phase) for number, node, phase in fleet.asked if node == HANGS]


def test_a_device_that_hangs_costs_one_round_and_is_not_asked_again(home: Path) -> None:
    fleet = Hanging(started=0, rounds=3)
    serve(fleet, 1)
    assert asked(fleet) == [(1, "train")]
    rounds = read_csv(home / "runs" / "1" / "rounds.csv")
    assert [(row["devices"], row["failures"]) for row in rounds] == [("2", "1"), ("2", "0"), ("2", "0")]
    assert len(app_json(home / "runs" / "1")["failures"]) == 1


def test_one_that_was_started_anew_is_asked_again(home: Path) -> None:
    fleet = Hanging(started=2, rounds=3)
    serve(fleet, 1)
    assert asked(fleet) == [(1, "train"), (3, "train"), (3, "evaluate")]
    rounds = read_csv(home / "runs" / "1" / "rounds.csv")
    assert [(row["devices"], row["failures"]) for row in rounds] == [("2", "1"), ("2", "0"), ("3", "0")]


def test_where_too_few_answer_the_run_ends_after_the_stated_wait(home: Path) -> None:
    with pytest.raises(AppError, match=r"round 2: 2 of min_devices=3 devices are online .* device_timeout=0\.3 s"):
        serve(Hanging(started=0, rounds=3, min_devices=3, device_timeout=0.3), 1)


class Coming(Fleet):
    """One device comes in the first round, when the others train."""

    def get_node_ids(self) -> Iterable[int]:
        return list(self.nodes)[: 2 if not self.trained else 3]

    trained = False

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        self.trained = True
        return super().send_and_receive(messages, timeout=timeout)


def test_a_device_that_comes_late_joins_the_next_round(home: Path) -> None:
    nodes = [{"partition-id": cid, "num-partitions": 3, "host": f"pi-{cid}"} for cid in range(3)]
    serve(Coming(config_of(rounds=2, **QUICK), nodes), 1)
    assert [row["devices"] for row in read_csv(home / "runs" / "1" / "rounds.csv")] == ["2", "3"]
    assert {row["failures"] for row in read_csv(home / "runs" / "1" / "rounds.csv")} == {"0"}
