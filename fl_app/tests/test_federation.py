"""Whole runs of the real ServerApp and ClientApp over devices in this process."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from safetensors.numpy import load_file
from safetensors.torch import save_file

from fl_app.errors import AppError
from fl_app.models import build_model
from fl_app.one_array import pack, unpack
from fl_app.prepare import prepare
from fl_app.settings import Config

from .app_fleet import Fault, Fleet, Run, app_json, config_of, last, read_csv, serve
from .small_data import write_pictures

QUICK = {"epochs": 1, "rounds": 2, "model": "mnist_cnn"}


def test_the_defaults_reach_90_percent_in_3_rounds_on_4_devices(run: Run) -> None:
    folder = run(devices=4)
    rounds = read_csv(folder / "rounds.csv")
    assert [row["round"] for row in rounds] == ["1", "2", "3"]
    assert float(rounds[-1]["accuracy"]) >= 0.90
    losses = [float(row["loss"]) for row in rounds]
    assert losses[0] > 2 * losses[-1]
    for row in rounds:
        assert (row["devices"], row["failures"]) == ("4", "0")
        # Each device gets the model once, the last one to evaluate too, and sends it back once.
        times = 2 if row["round"] == "3" else 1
        assert int(row["bytes_sent"]) == times * int(row["bytes_received"]) > times * 4 * 4 * 44426
    devices = read_csv(folder / "devices.csv")
    assert [(row["round"], row["cid"], row["host"]) for row in devices][3:5] == [
        ("1", "3", "pi-3"),
        ("2", "0", "pi-0"),
    ]
    for row in devices:
        assert row["examples"] == "900"
        assert 0 <= float(row["eval_accuracy"]) <= 1
        assert float(row["peak_memory_mb"]) > 50
    for name in ("train_loss", "train_accuracy", "eval_loss", "eval_accuracy"):  # the devices have as many images each
        mean = sum(float(row[name]) for row in devices[-4:]) / 4
        assert float(rounds[-1][name]) == pytest.approx(mean, rel=1e-4)
    for number in ("1", "2", "3"):
        for cid in ("0", "1", "2", "3"):
            rows = [r for r in read_csv(folder / "timings.csv") if (r["round"], r["cid"]) == (number, cid)]
            assert [row["phase"] for row in rows] == ["load", "train", "evaluate", "wait"]
            whole = float(rounds[int(number) - 1]["seconds"])
            assert sum(float(row["seconds"]) for row in rows) == pytest.approx(whole, rel=1e-3)
    about = app_json(folder)
    assert about["model"] == {"name": "net", "parameters": 44426, "trained": 44426}
    assert about["error"] is None
    assert about["devices"]["2"]["host"] == "pi-2"
    assert {path.name for path in (folder / "model").iterdir()} == {f"round-{n}.safetensors" for n in range(4)}


def test_the_same_seed_gives_the_same_model_to_the_last_bit(run: Run) -> None:
    first, second, other = (run(seed=seed, **QUICK) for seed in (5, 5, 6))
    arrays = [load_file(folder / "model" / "round-2.safetensors") for folder in (first, second, other)]
    assert all(np.array_equal(arrays[0][name], arrays[1][name]) for name in arrays[0])
    assert not np.array_equal(arrays[0]["conv1.weight"], arrays[2]["conv1.weight"])


@pytest.mark.parametrize("strategy", ["FedAvg", "FedAdam", "FedAvgM"])
def test_a_resumed_run_ends_with_the_model_of_an_unbroken_one(run: Run, strategy: str) -> None:
    settings = {**QUICK, "strategy": strategy, "rounds": 3}
    whole = run(**settings)
    half = run(**{**settings, "rounds": 1})
    resumed = run(**settings, resume_from=str(half))
    assert [row["round"] for row in read_csv(resumed / "rounds.csv")] == ["2", "3"]
    assert read_csv(resumed / "devices.csv")[0]["round"] == "2"
    assert app_json(resumed)["resumed_from"] == str(half / "model" / "round-1.safetensors")
    expected, found = (load_file(f / "model" / "round-3.safetensors") for f in (whole, resumed))
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    # The new folder can be resumed from as well, also when the run dies in its first round.
    assert (resumed / "model" / "round-1.safetensors").is_file()


def test_there_is_nothing_to_resume_after_the_last_round(run: Run) -> None:
    done = run(**QUICK)
    with pytest.raises(AppError, match="has 2 rounds behind it: rounds=2 leaves none"):
        run(**QUICK, resume_from=str(done))
    assert "leaves none" in app_json(last[-1])["error"]


def test_a_checkpoint_of_another_model_is_refused(run: Run) -> None:
    done = run(**QUICK)
    with pytest.raises(AppError, match=r"round-2\.safetensors is a checkpoint of another model"):
        run(**{**QUICK, "rounds": 3, "model": "net"}, resume_from=str(done))


def lost_once(*nodes: int) -> Fault:
    """Return a fault: these devices' answers in round 1 come when the round is over."""
    asked: set[str] = set()

    def fault(node: int, message: Message) -> Message | None:
        first = node in nodes and message.metadata.message_id not in asked
        asked.add(message.metadata.message_id)
        return None if first and message.content.config_records["config"]["server-round"] == 1 else message

    return fault


def test_a_late_answer_counts_as_one_failure_of_its_round_and_the_run_goes_on(run: Run) -> None:
    folder = run(fault=lost_once(101), **QUICK)
    rounds = read_csv(folder / "rounds.csv")
    assert [(row["devices"], row["failures"]) for row in rounds] == [("2", "1"), ("3", "0")]
    trained = [row["cid"] for row in read_csv(folder / "devices.csv") if row["train_loss"]]
    assert trained == ["0", "2", "0", "1", "2"]
    failures = app_json(folder)["failures"]
    assert {(f["round"], f["reason"]) for f in failures} == {(1, "no answer")}


def test_an_error_reply_is_kept_with_the_device_that_sent_it(run: Run) -> None:
    def broken(node: int, message: Message) -> Message | Error:
        in_round_2 = message.content.config_records["config"]["server-round"] == 2
        return Error(ErrorCode.NODE_UNAVAILABLE, "gone\naway") if in_round_2 and node == 102 else message

    folder = run(fault=broken, **QUICK)
    assert [row["failures"] for row in read_csv(folder / "rounds.csv")] == ["0", "1"]
    assert app_json(folder)["failures"][0] == {
        "round": 2,
        "phase": "train",
        "cid": 2,
        "host": "pi-2",
        "reason": "gone away",
    }


def test_a_round_that_nobody_answered_leaves_the_model_as_it_was(run: Run) -> None:
    folder = run(fault=lost_once(100, 101, 102), **QUICK)
    rounds = read_csv(folder / "rounds.csv")
    assert [(row["devices"], row["failures"], row["train_loss"] == "") for row in rounds] == [
        ("0", "3", True),
        ("3", "0", False),
    ]
    before, after = (load_file(folder / "model" / f"round-{n}.safetensors") for n in (0, 1))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_training_that_fails_everywhere_ends_the_run_with_the_reason(run: Run) -> None:
    with pytest.raises(AppError, match=r"round 1: training failed on every device \(3\).*pi-0: the training loss is"):
        run(**QUICK, lr=1e30)
    about = app_json(last[-1])
    assert about["error"].startswith("round 1: training failed on every device")
    assert [failure["reason"].split(":")[0] for failure in about["failures"]] == ["pi-0", "pi-1", "pi-2"]
    assert read_csv(last[-1] / "rounds.csv") == []


def test_no_federated_evaluation_leaves_its_columns_empty(run: Run) -> None:
    folder = run(fraction_evaluate=0.0, **QUICK)
    for row in read_csv(folder / "devices.csv"):
        assert (row["eval_loss"], row["eval_accuracy"]) == ("", "")
        assert row["train_loss"]
    assert {row["failures"] for row in read_csv(folder / "rounds.csv")} == {"0"}


def test_a_fraction_of_the_devices_trains(run: Run) -> None:
    folder = run(devices=4, fraction_train=0.5, fraction_evaluate=0.0, **QUICK)
    assert [row["devices"] for row in read_csv(folder / "rounds.csv")] == ["2", "2"]


@pytest.mark.parametrize(
    "strategy",
    [
        "FedProx",
        "QFedAvg",
        "DifferentialPrivacyClientSideFixedClipping",
        "DifferentialPrivacyClientSideAdaptiveClipping",
    ],
)
def test_strategies_that_need_the_devices_run_with_a_model_that_has_buffers(run: Run, strategy: str) -> None:
    noise = "noise_multiplier=0.001" if strategy.startswith("Diff") else ""
    folder = run(strategy=strategy, strategy_config=noise, **{**QUICK, "model": "lenet5"})
    rounds = read_csv(folder / "rounds.csv")
    assert [(row["devices"], row["failures"]) for row in rounds] == [("3", "0")] * 2
    assert np.isfinite([float(row["loss"]) for row in rounds]).all()
    sizes = {int(row["bytes_sent"]) for row in rounds}
    # What a strategy computes in double precision does not travel in it. The last round has messages for evaluation.
    assert sizes == {min(sizes), 2 * min(sizes)}


def test_folders_of_the_environment_are_used(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("FL_RUNS_DIR", str(tmp_path / "elsewhere"))
    run(**{**QUICK, "rounds": 1})
    assert read_csv(tmp_path / "elsewhere" / "1" / "rounds.csv")
    assert not (home / "runs").exists()


def test_a_part_that_was_not_sent_to_the_server_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(AppError, match=r"0123/images\.safetensors is not there"):
        run(partition="0123", **QUICK)


def test_rows_are_whole_and_on_the_disk_when_the_round_ends(run: Run, home: Path) -> None:
    seen: list[int] = []

    def look(node: int, message: Message) -> Message:
        if message.content.config_records["config"]["server-round"] == 2 and node == 100:
            text = (home / "runs" / "1" / "rounds.csv").read_text()
            assert text.endswith("\n")
            seen.append(len(text.splitlines()))
        return message

    run(fault=look, **QUICK)
    assert seen == [2, 2]  # the header and round 1, while round 2, the last, trains and evaluates


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a file with the weights of an untrained `net`."""
    path = tmp_path / "net.safetensors"
    save_file(build_model("net", 1, 28, 10, seed=9).state_dict(), path)
    return path


def test_of_a_frozen_model_the_last_layer_alone_travels_and_learns(run: Run, weights: Path) -> None:
    folder = run(devices=2, **{**QUICK, "model": "net"}, weights=str(weights), finetune="head")
    rounds = read_csv(folder / "rounds.csv")
    head = 4 * (84 * 10 + 10)
    for row in rounds:
        assert (row["devices"], row["failures"]) == ("2", "0")
        assert 2 * head < int(row["bytes_received"]) < 2 * head + 1000  # the headers of two arrays each
    received = [int(row["bytes_received"]) for row in rounds]
    assert [int(row["bytes_sent"]) for row in rounds] == [received[0], 2 * received[1]]  # the last one is evaluated too
    assert float(rounds[-1]["loss"]) < float(rounds[0]["loss"])
    assert app_json(folder)["model"] == {"name": "net", "parameters": 44426, "trained": 850}
    # What did not travel lies beside the rounds; together they are the whole model.
    frozen, last_round = (load_file(folder / "model" / f"{name}.safetensors") for name in ("frozen", "round-2"))
    given = load_file(weights)
    assert frozen.keys() | last_round.keys() == given.keys()
    assert all(np.array_equal(frozen[name], given[name]) for name in frozen)
    assert sorted(last_round) == ["fc3.bias", "fc3.weight"]


def test_weights_to_begin_with_are_the_model_of_round_0(run: Run, weights: Path) -> None:
    folder = run(devices=2, **{**QUICK, "model": "net", "rounds": 1}, weights=str(weights))
    first, given = load_file(folder / "model" / "round-0.safetensors"), load_file(weights)
    assert all(np.array_equal(first[name], given[name]) for name in given)


def test_a_device_without_the_servers_weights_fails_and_the_others_go_on(run: Run, weights: Path, home: Path) -> None:
    settings = {**QUICK, "model": "net", "rounds": 1, "weights": str(weights), "finetune": "head"}

    def removed(node: int, message: Message) -> Message:
        for path in (home / "data").glob("*/1/weights.safetensors") if node == 101 else ():
            path.unlink()
        return message

    run(**settings)
    try:
        folder = run(fault=removed, **settings)
    finally:
        for part in (path.parent for path in (home / "data").glob("*/0/weights.safetensors")):
            (part.parent / "1" / "weights.safetensors").unlink(missing_ok=True)
            (part.parent / "1" / "weights.safetensors").hardlink_to(part / "weights.safetensors")
    assert [(row["devices"], row["failures"]) for row in read_csv(folder / "rounds.csv")] == [("2", "1")]
    reason = app_json(folder)["failures"][0]["reason"]
    assert reason.startswith("pi-1: ")
    assert reason.endswith("1/weights.safetensors is not there: this run's weights were not sent to this host")


def test_pictures_of_ones_own_are_learned_from_their_folders(run: Run, tmp_path: Path) -> None:
    write_pictures(tmp_path / "trees", {"oak": 40, "elm": 40})
    settings = {"dataset": "imagefolder", "data_folder": str(tmp_path / "trees"), "image_size": 16}
    folder = run(devices=2, **{**QUICK, "epochs": 5}, **settings, batch_size=4, lr=0.01)
    assert read_csv(folder / "rounds.csv")[-1]["accuracy"] == "1"
    assert load_file(folder / "model" / "round-2.safetensors")["classifier.bias"].shape == (2,)


@pytest.mark.parametrize("strategy", ["FedProx", "FedAdam"])
def test_not_true_distillation_works_with_the_strategies(run: Run, strategy: str) -> None:
    rows = [
        read_csv(run(devices=2, strategy=strategy, algorithm=algorithm, **QUICK) / "rounds.csv")
        for algorithm in ("plain", "FedNTD")
    ]
    assert [row["failures"] for row in rows[1]] == ["0", "0"]
    assert float(rows[1][-1]["accuracy"]) > 0.5
    # What the loss is that a device tells is the cross-entropy in both; the models are not the same.
    assert rows[0][-1]["loss"] != rows[1][-1]["loss"]


def test_a_device_whose_loss_is_no_number_fails_and_the_others_go_on(run: Run) -> None:
    def poisoned(node: int, message: Message) -> Message:
        if node == 101 and message.metadata.message_type == "train":
            arrays = unpack(message.content.array_records["arrays"])
            bad = {name: Array(np.full_like(array.numpy(), np.nan)) for name, array in arrays.items()}
            return Message(
                RecordDict({"arrays": pack(ArrayRecord(bad)), "config": message.content["config"]}),
                dst_node_id=node,
                message_type="train",
            )
        return message

    folder = run(fault=poisoned, **QUICK)
    rounds = read_csv(folder / "rounds.csv")
    assert [(row["devices"], row["failures"]) for row in rounds] == [("2", "1")] * 2
    assert np.isfinite(float(rounds[-1]["loss"]))
    assert app_json(folder)["failures"][0]["reason"].startswith("pi-1: the training loss is nan after epoch 1")


def test_a_class_that_nobody_was_sent_is_told(run: Run, home: Path, tmp_path: Path) -> None:
    config = Config.of(config_of(**QUICK, partitioner="pathological", classes_per_device=3))
    made = prepare(config, [0, 1, 2], [], tmp_path / "parts")
    for place in ("server", "0", "1", "2"):
        Path(made["folder"], place).rename(tmp_path / place)
    nodes = []
    for cid in range(3):
        folder = tmp_path / f"device-{cid}"
        folder.mkdir()
        (tmp_path / str(cid)).rename(folder / made["key"])
        nodes.append({"partition-id": cid, "data-dir": str(folder)})
    server = tmp_path / "data"
    server.mkdir()
    (tmp_path / "server").rename(server / made["key"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FL_DATA_DIR", str(server))
        settings = {**QUICK, "partitioner": "pathological", "classes_per_device": 3, "partition": made["key"]}
        serve(Fleet(config_of(**settings), nodes), 1)
    (warning,) = app_json(home / "runs" / "1")["warnings"]
    assert warning.startswith("no device was sent images of: ")
    assert len(read_csv(home / "runs" / "1" / "rounds.csv")) == 2


def test_a_device_with_too_few_images_of_its_own_fails_and_the_others_go_on(home: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "mine", {"3": 5, "4": 5})
    nodes: list[dict[str, Any]] = [{"partition-id": cid, "num-partitions": 3, "host": f"pi-{cid}"} for cid in range(3)]
    nodes[2]["data-path"] = str(tmp_path / "mine")
    serve(Fleet(config_of(**QUICK), nodes), 1)
    assert [row["devices"] for row in read_csv(home / "runs" / "1" / "rounds.csv")] == ["2", "2"]
    reasons = {failure["reason"] for failure in app_json(home / "runs" / "1")["failures"]}
    assert reasons == {"pi-2: cid 2 has 9 training images, fewer than batch_size=32"}
