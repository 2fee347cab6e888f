import gzip
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fl_app.datasets import entry_of, find
from fl_app.errors import AppError
from fl_app.partition import PARTITIONERS, partition
from fl_app.prepare import main, prepare, prepared
from fl_app.settings import PYPROJECT, Config
from fl_app.storage import FILE

from .small_data import idx_bytes, write_idx_folder, write_pictures

LABELS = np.repeat(np.arange(10), 100)
CAMERAS = np.arange(1000) % 7
REID = {"dataset": "mnist5k_reid", "model": "reid/net", "algorithm": "FedPAV"}


def parts_of(seed: int = 42, **settings: Any) -> list[list[int]]:
    own = REID if settings["partitioner"] == "camera" else {}
    return [part.tolist() for part in partition(LABELS, 4, Config.of({"seed": seed, **own, **settings}), CAMERAS)]


@pytest.mark.parametrize("name", PARTITIONERS)
def test_parts_are_disjoint_and_follow_the_seed(name: str) -> None:
    parts = parts_of(partitioner=name)
    together = [index for part in parts for index in part]
    assert len(together) == len(set(together))
    assert all(parts)
    assert parts == parts_of(partitioner=name)
    assert parts != parts_of(partitioner=name, seed=7)


@pytest.mark.parametrize("name", ["iid", "dirichlet", "shard", "class_share", "camera"])
def test_parts_are_complete(name: str) -> None:
    assert sorted(index for part in parts_of(partitioner=name) for index in part) == list(range(len(LABELS)))


def test_pathological_parts_have_as_many_classes_as_asked_and_leave_out_the_others_alone() -> None:
    parts = parts_of(partitioner="pathological", **{"classes-per-device": 3})
    assert [len(set(LABELS[part])) for part in parts] == [3] * 4
    together = [index for part in parts for index in part]
    assert len(together) == 100 * len(set(LABELS[together]))


def test_devices_have_the_share_of_their_classes_and_the_others_the_rest() -> None:
    shares: dict[str, Any] = {"partitioner": "class_share", "class-share": 0.7}
    parts = parts_of(**shares, **{"classes-per-device": 2})
    counts = np.array([np.bincount(LABELS[part], minlength=10) for part in parts])
    # Four devices with two classes each: 70 of each are its device's, and three share 30. Two classes are nobody's.
    assert sorted(np.sort(counts, axis=0).T.tolist()) == [[10, 10, 10, 70]] * 8 + [[25, 25, 25, 25]] * 2
    assert [(row == 70).sum() for row in counts] == [2] * 4


def test_devices_that_have_the_same_class_share_it() -> None:
    shares: dict[str, Any] = {"partitioner": "class_share", "class-share": 0.7}
    parts = parts_of(**shares, **{"classes-per-device": 5})
    counts = np.array([np.bincount(LABELS[part], minlength=10) for part in parts])
    assert np.sort(counts, axis=0).T.tolist() == [[15, 15, 35, 35]] * 10
    alone = parts_of(partitioner="class_share", **{"classes-per-device": 10})
    assert [len(part) for part in alone] == [250] * 4


def test_devices_have_cameras_of_their_own() -> None:
    cameras = [set(CAMERAS[part]) for part in parts_of(partitioner="camera")]
    assert sorted(map(len, cameras)) == [1, 2, 2, 2]
    assert set.union(*cameras) == set(range(7))
    config = Config.of({"partitioner": "camera", **REID})
    with pytest.raises(AppError, match=r"partitioner=camera seed=42 cannot make 8 parts .*: there are 7 cameras"):
        partition(LABELS, 8, config, CAMERAS)


def test_a_smaller_alpha_makes_devices_differ_more() -> None:
    def skew(alpha: float) -> float:
        parts = parts_of(partitioner="dirichlet", alpha=alpha)
        shares = [np.bincount(LABELS[part], minlength=10) / len(part) for part in parts]
        return float(np.std(shares))

    assert skew(0.1) > 2 * skew(100.0)


def test_the_files_hold_the_parts_and_no_test_image(tmp_path: Path, config: Config) -> None:
    made = prepare(config, [0, 1, 3], [], tmp_path)
    folder, info = Path(made["folder"]), made["dataset"]
    raw = find("mnist5k", "").load()
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1", "3", "dataset.json", "server"]
    test = load_file(folder / "server" / FILE)
    assert np.array_equal(test["images"], raw.test_images.transpose(0, 3, 1, 2))
    held_out = {image.tobytes() for image in test["images"]}
    train = {image.tobytes() for image in raw.train_images.transpose(0, 3, 1, 2)}
    for cid in (0, 1, 3):
        part = load_file(folder / str(cid) / FILE)
        assert part["images"].dtype == np.uint8
        assert part["images"].shape[1:] == (1, 28, 28)
        assert np.bincount(part["labels"], minlength=10).tolist() == info["labels"][str(cid)]
        images = {image.tobytes() for image in part["images"]}
        assert images <= train
        assert not images & held_out
    assert info["train_examples"] == sum(map(sum, info["labels"].values())) == 3000
    assert info["test_examples"] == 1000
    assert info["checksum"] == raw.checksum()


def test_a_device_with_images_of_its_own_gets_no_part(tmp_path: Path, config: Config) -> None:
    made = prepare(config, [0, 1], [1], tmp_path)
    assert list(made["dataset"]["labels"]) == ["0"]
    assert not (Path(made["folder"]) / "1").exists()


def test_the_key_follows_what_shapes_the_parts_and_nothing_else(tmp_path: Path) -> None:
    def key(**settings: Any) -> str:
        return str(prepare(Config.of(settings), [0, 1], [], tmp_path)["key"])

    first = key()
    assert first == key(lr=0.5, epochs=9, alpha=9.0)  # alpha shapes no iid parts
    assert len({first, key(seed=1), key(partitioner="shard")}) == 3
    assert not list(tmp_path.glob(".*"))  # no temporary folder is left


def arguments(tmp_path: Path, settings: dict[str, Any], cids: str) -> list[str]:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings))
    return ["--config", str(config), "--cids", cids, "--cache", str(tmp_path / "cache")]


def test_the_hook_prints_one_json_object_and_imports_little_the_second_time(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fl_app.prepare", *arguments(tmp_path, {}, "0,1,2,3")]
    told = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}  # Python then lists on stderr what it imports
    first, second = (
        subprocess.run(command, cwd=PYPROJECT.parent, env=told, capture_output=True, text=True) for _ in range(2)
    )
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    imported = [
        {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
        for done in (first, second)
    ]
    assert {"numpy", "PIL"} <= imported[0]
    assert imported[1].isdisjoint({"numpy", "PIL", "torch", "flwr"})
    assert all(line.startswith("import time:") for line in second.stderr.splitlines())
    result = json.loads(first.stdout)
    assert json.loads(second.stdout) == result
    assert result["run_config"] == {"partition": result["key"]}
    assert Path(result["folder"], "3", FILE).is_file()


@pytest.mark.parametrize(
    ("settings", "cids", "words"),
    [
        ({"batch-size": 2000}, "0,1", ["batch_size=2000", "1800", "cid 0"]),
        ({}, "0,600", ["batch_size=32", "6 training images"]),
        ({"strategy": "Bulyan"}, "0,1", ["Bulyan", "at least 3", "has 2"]),
        ({"strategy": "FedTrimmedAvg", "strategy-config": "beta=0.7"}, "0,1", ["beta", "0.5"]),
        ({"strategy-config": "eta=0.1"}, "0,1", ["'eta=0.1'", "FedAvg", "none"]),
        ({"partitioner": "dirichlet"}, "0,600", ["partitioner=dirichlet", "601 parts of 4000 images"]),
        ({"dataset": "cifar10", "data-folder": "/nowhere"}, "0,1", ["data_folder=/nowhere", "cifar10"]),
        ({"partitioner": "pathological", "classes-per-device": 11}, "0,1", ["classes_per_device=11"]),
        ({"partitioner": "class_share", "classes-per-device": 11}, "0,1", ["classes_per_device=11", "10 classes"]),
        ({"model": "timm/nope"}, "0,1", ["model=timm/nope", "no such model"]),
    ],
)
def test_a_mistake_gives_one_line_and_status_2(
    tmp_path: Path, settings: dict[str, Any], cids: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path, settings, cids)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    # Lines on the way may tell what is done; the last one is the error.
    last = err.splitlines()[-1]
    for word in words:
        assert word in last


def test_no_configuration_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none"), "--cids", "0", "--cache", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_test_set_alone_can_be_had(tmp_path: Path, config: Config) -> None:
    assert prepare(config, [], [], tmp_path)["dataset"]["labels"] == {}


def test_pictures_bring_their_classes_into_the_run_configuration(tmp_path: Path) -> None:
    write_pictures(tmp_path / "trees", {"oak": 20, "elm": 20})
    config = Config.of({"dataset": "imagefolder", "data-folder": str(tmp_path / "trees"), "batch-size": 4})
    made = prepare(config, [0, 1], [], tmp_path / "cache")
    assert made["run_config"] == {"partition": made["key"], "classes": "elm/oak"}
    assert made["dataset"]["classes"] == ["elm", "oak"]
    assert load_file(Path(made["folder"], "0", FILE))["images"].shape == (16, 3, 64, 64)
    small = prepare(replace(config, image_size=16), [0, 1], [], tmp_path / "cache")
    assert small["key"] != made["key"]
    assert load_file(Path(small["folder"], "0", FILE))["images"].shape == (16, 3, 16, 16)
    assert len(entry_of(prepared(config, made)).classes) == 2


def test_a_label_that_is_no_class_is_damage(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "data")
    path = tmp_path / "data" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.full(40, 10, np.uint8))))
    with pytest.raises(AppError, match="a label 10 where the classes are 0 to 9"):
        prepare(Config.of({"dataset": "mnist", "data-folder": str(tmp_path / "data")}), [0], [], tmp_path / "cache")


def test_damage_in_the_source_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "mnist_5k.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(AppError, match="mnist_5k"):
        prepare(Config.of({"data-folder": str(data)}), [0], [], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
