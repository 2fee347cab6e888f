"""Whole runs of FedPAV: the real ServerApp and ClientApp over devices in this process."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from safetensors.numpy import load_file

from fl_app.errors import AppError
from fl_app.prepare import prepare
from fl_app.settings import Config

from .app_fleet import Fleet, Run, app_json, config_of, last, read_csv, serve
from .small_data import write_veri_folder
from .test_outage import interrupted_in

CARS: dict[str, Any] = {
    "dataset": "veri776",
    "model": "reid/net",
    "algorithm": "FedPAV",
    "partitioner": "camera",
    "image_size": 20,
    "batch_size": 8,
    "epochs": 1,
    "rounds": 2,
    "validation_fraction": 0.3,
}


@pytest.fixture
def cars(tmp_path: Path) -> dict[str, Any]:
    write_veri_folder(tmp_path / "VeRi")
    return {**CARS, "data_folder": str(tmp_path)}


def test_three_rounds_of_fedpav_find_more_than_the_starting_weights(run: Run) -> None:
    settings = {"dataset": "mnist5k_reid", "model": "reid/mnist_cnn", "algorithm": "FedPAV", "partitioner": "camera"}
    folder = run(devices=4, **settings, epochs=1, rounds=3)
    first, rounds = app_json(folder)["beginning"], read_csv(folder / "rounds.csv")
    assert float(rounds[-1]["rank1"]) > 1.25 * first["rank1"] > 0
    assert float(rounds[-1]["mAP"]) > 1.25 * first["mAP"]
    for row in rounds:
        assert float(row["rank1"]) < float(row["rank5"]) < float(row["rank10"]) < 1
        assert (row["loss"], row["accuracy"], row["eval_loss"], row["failures"]) == ("", "", "", "0")
        assert float(row["train_loss"]) > 0
    devices = [row for row in read_csv(folder / "devices.csv") if row["round"] == "3"]
    mean = sum(float(row["eval_rank1"]) for row in devices) / 4
    assert float(rounds[-1]["eval_rank1"]) == pytest.approx(mean, rel=0.2)  # weighted by the devices' queries


def test_each_device_has_cameras_of_its_own_and_a_classifier_that_never_travels(
    run: Run, cars: dict[str, Any], home: Path
) -> None:
    folder = run(devices=2, **cars)
    arrays = load_file(folder / "model" / "round-2.safetensors")
    assert not any(name.startswith("classifier") for name in arrays)
    size = sum(array.nbytes for array in arrays.values())
    for row in read_csv(folder / "rounds.csv"):
        assert 2 * size < int(row["bytes_received"]) < 2 * size + 2 * 200 * len(arrays)
        times = 2 if row["round"] == "2" else 1  # the last round's model is sent for evaluation, too
        assert int(row["bytes_sent"]) == times * int(row["bytes_received"])
    kept = home / "kept" / "1"
    assert sorted(path.name for path in kept.iterdir()) == [f"{cid}-{n}.safetensors" for cid in (0, 1) for n in (1, 2)]
    classifiers = [load_file(kept / f"{cid}-2.safetensors") for cid in (0, 1)]
    assert classifiers[0]["classifier.weight"].shape == (6, 512)
    assert not np.array_equal(classifiers[0]["classifier.bias"], classifiers[1]["classifier.bias"])
    made = prepare(Config.of(config_of(**cars)), range(2), [], home / "data")["dataset"]
    assert made["classes"] == ["c001", "c002", "c003", "c004"]
    counts = np.array(list(made["labels"].values()))
    assert sorted(counts.T.tolist()) == [[0, 27], [0, 27], [27, 0], [27, 0]]
    assert made["queries"] == 16


def test_not_true_distillation_works_with_fedpav(run: Run, cars: dict[str, Any]) -> None:
    folder = run(devices=2, **{**cars, "algorithm": "FedPAV-NTD"})
    assert [row["failures"] for row in read_csv(folder / "rounds.csv")] == ["0", "0"]
    plain = run(devices=2, **cars)
    # Rounds begin with classifiers that know nothing; what they are distilled to differs from the second round on.
    one, other = (load_file(f / "model" / "round-2.safetensors") for f in (folder, plain))
    assert not np.array_equal(one["neck.reduce.weight"], other["neck.reduce.weight"])


@pytest.mark.parametrize("how", ["continue_from", "resume_from"])
def test_classifiers_outlast_an_outage_and_the_end_of_a_run(run: Run, cars: dict[str, Any], how: str) -> None:
    whole = run(devices=2, **{**cars, "rounds": 3})
    if how == "continue_from":
        # Device 1 is lost in round 2, when device 0 has trained: its classifier is ahead of the round that comes again.
        with pytest.raises(KeyboardInterrupt):
            run(devices=2, **{**cars, "rounds": 3}, fault=interrupted_in(2))
        begun = last[-1]
    else:
        begun = run(devices=2, **{**cars, "rounds": 1})
    rest = run(devices=2, **{**cars, "rounds": 3}, **{how: str(begun)})
    assert app_json(rest)["first_run"] == begun.name
    expected, found = (load_file(f / "model" / "round-3.safetensors") for f in (whole, rest))
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_a_device_that_lost_its_classifier_begins_anew(
    run: Run, cars: dict[str, Any], home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(node: int, message: Message) -> Message:
        in_round_2 = message.content.config_records["config"]["server-round"] == 2
        for path in (home / "kept" / "1").glob("1-*") if in_round_2 and node == 101 else ():
            path.unlink()
        return message

    with caplog.at_level("WARNING", logger="flwr"):
        folder = run(devices=2, **cars, fault=lost)
    assert [row["failures"] for row in read_csv(folder / "rounds.csv")] == ["0", "0"]
    assert "round 2: this device has kept no classifier of this run; it begins anew" in caplog.text


def test_a_damaged_classifier_fails_one_device_and_the_others_go_on(run: Run, cars: dict[str, Any], home: Path) -> None:
    def damaged(node: int, message: Message) -> Message:
        in_round_2 = message.content.config_records["config"]["server-round"] == 2
        if in_round_2 and node == 101 and message.metadata.message_type == "train":
            (home / "kept" / "1" / "1-1.safetensors").write_bytes(b"no tensors")
        return message

    folder = run(devices=2, **cars, fault=damaged)
    assert [(row["devices"], row["failures"]) for row in read_csv(folder / "rounds.csv")] == [("2", "0"), ("1", "1")]
    reason = app_json(folder)["failures"][0]["reason"]
    assert reason.startswith("pi-1: the kept classifier ")
    assert "1-1.safetensors is damaged or of another model" in reason


def test_a_device_with_images_of_its_own_cameras_and_one_without_any(
    cars: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    write_veri_folder(tmp_path / "own", train=6, cameras=1, shots=8)
    (tmp_path / "empty").mkdir()
    nodes: list[dict[str, Any]] = [{"partition-id": cid, "num-partitions": 4, "host": f"pi-{cid}"} for cid in range(4)]
    nodes[2]["data-path"] = str(tmp_path / "own" / "image_train")
    nodes[3]["data-path"] = str(tmp_path / "empty")
    serve(Fleet(config_of(**cars), nodes), 1)
    folder = home / "runs" / "1"
    assert [(row["devices"], row["failures"]) for row in read_csv(folder / "rounds.csv")] == [("3", "1")] * 2
    assert {f["reason"] for f in app_json(folder)["failures"]} == {f"pi-3: data_path={tmp_path}/empty holds no images"}
    # A device with one camera can find its own images again, and no others.
    ranks = {row["cid"]: row["eval_rank1"] for row in read_csv(folder / "devices.csv") if row["round"] == "2"}
    assert float(ranks["2"]) > 0
    assert ranks.keys() == {"0", "1", "2"}


def test_more_devices_than_cameras_are_refused(run: Run, cars: dict[str, Any]) -> None:
    with pytest.raises(AppError, match="there are 4 cameras"):
        run(devices=5, **cars)


def test_a_checkpoint_of_another_model_is_refused(run: Run, cars: dict[str, Any]) -> None:
    done = run(devices=2, **{**cars, "rounds": 1})
    with pytest.raises(AppError, match=r"round-1\.safetensors is a checkpoint of another model: backbone\."):
        run(devices=2, **{**cars, "model": "reid/lenet5"}, resume_from=str(done))
