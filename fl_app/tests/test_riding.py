"""Evaluation that rides with training says the same as one in messages of its own, with half of the messages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from safetensors.numpy import load_file

from fl_app.run_folder import COLUMNS, RunFolder

from .app_fleet import Run, last, read_csv

QUICK: dict[str, Any] = {"epochs": 1, "rounds": 3, "model": "mnist_cnn"}
SCORES = ("eval_loss", "eval_accuracy")


class Phases:
    """Notes what each device was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, str]] = []  # round, node, phase

    def __call__(self, node: int, message: Message) -> Message:
        number = int(str(message.content.config_records["config"]["server-round"]))
        self.asked.append((number, node, message.metadata.message_type))
        return message


def scores(folder: Path, table: str) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in SCORES) for row in read_csv(folder / f"{table}.csv")]


def test_the_scores_and_the_model_are_the_same_and_messages_are_fewer(run: Run) -> None:
    riding, apart = Phases(), Phases()
    one, two = run(**QUICK, fault=riding), run(**QUICK, evaluation="after_training", fault=apart)
    for table in ("rounds", "devices"):
        assert scores(one, table) == scores(two, table)
        assert all(all(row) for row in scores(one, table))
    models = [load_file(folder / "model" / "round-3.safetensors") for folder in (one, two)]
    assert all(np.array_equal(models[0][name], models[1][name]) for name in models[0])
    assert [(number, phase) for number, node, phase in riding.asked if node == 100] == [
        (1, "train"), (2, "train"), (3, "train"), (3, "evaluate"),
    ]  # fmt: skip
    assert len(apart.asked) == 3 * 3 * 2
    sent = [[int(row["bytes_sent"]) for row in read_csv(folder / "rounds.csv")] for folder in (one, two)]
    assert [2 * sent[0][0], 2 * sent[0][1], sent[0][2]] == sent[1]
    # What it takes is where it took place: nothing in the first round.
    seconds = [float(row["seconds"]) for row in read_csv(one / "timings.csv") if row["phase"] == "evaluate"]
    assert seconds[:3] == [0.0] * 3
    assert all(second > 0 for second in seconds[3:])


@pytest.mark.parametrize(
    "strategy", ["DifferentialPrivacyClientSideFixedClipping", "DifferentialPrivacyServerSideAdaptiveClipping", "Krum"]
)
def test_any_strategy_takes_it(run: Run, strategy: str) -> None:
    noise = "noise_multiplier=0.001" if strategy.startswith("Diff") else ""
    one = run(**QUICK, strategy=strategy, strategy_config=noise)
    assert all(all(row) for row in scores(one, "rounds"))


def test_a_fraction_of_those_that_train_evaluates(run: Run) -> None:
    folder = run(**QUICK, devices=4, fraction_evaluate=0.5)
    for number in "123":
        rows = [row for row in read_csv(folder / "devices.csv") if row["round"] == number]
        assert len(rows) == 4
        assert sum(bool(row["eval_loss"]) for row in rows) == 2
    assert all(all(row) for row in scores(folder, "rounds"))


def test_where_more_evaluate_than_train_they_are_asked_for_it_alone(run: Run) -> None:
    phases = Phases()
    folder = run(**QUICK, devices=4, fraction_train=0.5, fraction_evaluate=1.0, fault=phases)
    assert sum(phase == "evaluate" for _, _, phase in phases.asked) == 3 * 4
    assert all(all(row) for row in scores(folder, "rounds"))


def test_a_run_that_goes_on_after_an_outage_fills_in_the_round_before_it(run: Run) -> None:
    def cut(node: int, message: Message) -> Message:
        if message.content.config_records["config"]["server-round"] == 2:
            raise KeyboardInterrupt
        return message

    with pytest.raises(KeyboardInterrupt):
        run(**QUICK, fault=cut)
    assert scores(last[-1], "rounds") == [("", "")]
    rest, whole = run(**QUICK, continue_from=str(last[-1])), run(**QUICK)
    for table in ("rounds", "devices"):
        assert scores(rest, table) == scores(whole, table)


def test_a_resumed_run_says_nothing_of_a_round_that_is_not_its_own(run: Run) -> None:
    begun = run(**{**QUICK, "rounds": 1})
    phases = Phases()
    rest = run(**{**QUICK, "rounds": 2}, resume_from=str(begun), fault=phases)
    assert [row["round"] for row in read_csv(rest / "rounds.csv")] == ["2"]
    assert all(all(row) for row in scores(rest, "devices"))
    assert all("evaluate" in {p for _, n, p in phases.asked if n == node} for node in (100, 101, 102))


class TestTheTable:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> RunFolder:
        folder = RunFolder(tmp_path)
        for number in (1, 11, 12):
            folder.add("rounds", [{"round": number, "loss": number / 2}])
            folder.add("devices", [{"round": number, "cid": cid, "host": "a, b"} for cid in (1, 2)])
        return folder

    def test_it_fills_in_the_last_rounds_rows_and_leaves_all_others(self, folder: RunFolder) -> None:
        before = (folder.path / "devices.csv").read_text().splitlines()
        folder.amend("devices", [{"round": 12, "cid": 2, "eval_loss": 0.25}])
        after = (folder.path / "devices.csv").read_text().splitlines()
        assert after[:-1] == before[:-1]
        row = read_csv(folder.path / "devices.csv")[-1]
        assert row == dict.fromkeys(COLUMNS["devices"], "") | {
            "round": "12", "cid": "2", "host": "a, b", "eval_loss": "0.25",
        }  # fmt: skip

    def test_a_round_has_one_row(self, folder: RunFolder) -> None:
        folder.amend("rounds", [{"round": 12, "eval_loss": 3.0}])
        rows = read_csv(folder.path / "rounds.csv")
        assert [(row["round"], row["loss"], row["eval_loss"]) for row in rows] == [
            ("1", "0.5", ""), ("11", "5.5", ""), ("12", "6", "3"),
        ]  # fmt: skip

    def test_who_has_no_row_gets_none(self, folder: RunFolder) -> None:
        before = (folder.path / "devices.csv").read_text()
        folder.amend("devices", [{"round": 12, "cid": 3, "eval_loss": 0.25}, {"round": 13, "cid": 1, "eval_loss": 1.0}])
        assert (folder.path / "devices.csv").read_text() == before

    def test_the_last_round(self, folder: RunFolder, tmp_path: Path) -> None:
        assert folder.last_round() == 12
        assert RunFolder(tmp_path / "new").last_round() == 0
