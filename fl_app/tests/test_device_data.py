import os
import pwd
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fl_app import device_data, host
from fl_app.datasets import DATASETS
from fl_app.errors import AppError
from fl_app.prepare import prepare
from fl_app.settings import Config
from fl_app.storage import FILE


def load(node_config: dict[str, Any], config: Config) -> tuple[device_data.Split, device_data.Split]:
    config, part = device_data.place(node_config, config)
    return device_data.load(node_config, config, part)


def node(folder: Path, **others: Any) -> dict[str, Any]:
    return {"partition-id": 0, "num-partitions": 2, "data-dir": str(folder), **others}


@pytest.fixture
def part(tmp_path: Path, config: Config) -> Config:
    """Return the configuration of a run whose part lies in tmp_path/data, as the playbook puts it there."""
    made = prepare(config, [0, 1], [], tmp_path / "cache")
    target = tmp_path / "data" / made["key"]
    target.mkdir(parents=True)
    (target / FILE).write_bytes(Path(made["folder"], "0", FILE).read_bytes())
    return Config.of({"partition": made["key"]})


def test_the_part_is_split_without_overlap_and_the_same_way_each_time(tmp_path: Path, part: Config) -> None:
    train, validation = load(node(tmp_path / "data"), part)
    assert (len(train), len(validation)) == (1800, 200)
    seen = [image.tobytes() for split in (train, validation) for image in split.images]
    assert len(set(seen)) == len(seen)
    again, _ = load(node(tmp_path / "data"), part)
    assert (train.labels == again.labels).all()


def test_a_part_that_was_not_sent_is_named(tmp_path: Path, part: Config) -> None:
    with pytest.raises(AppError, match=f"{tmp_path}/elsewhere/{part.partition}/{FILE} is not there"):
        load(node(tmp_path / "elsewhere"), part)


def test_a_damaged_part_is_named(tmp_path: Path, part: Config) -> None:
    path = tmp_path / "data" / part.partition / FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AppError, match=f"{path} is damaged"):
        load(node(tmp_path / "data"), part)


def test_a_part_smaller_than_a_batch_is_refused(tmp_path: Path, part: Config) -> None:
    config = Config.of({"partition": part.partition, "batch-size": 1801})
    with pytest.raises(AppError, match="1800 training images, fewer than batch_size=1801"):
        load(node(tmp_path / "data"), config)


@pytest.mark.parametrize("cid", [None, "0", -1, True])
def test_a_supernode_without_a_number_is_refused(cid: Any) -> None:
    with pytest.raises(AppError, match="partition-id="):
        device_data.cid_of({} if cid is None else {"partition-id": cid})


def test_a_folder_of_ones_own_images_is_read_by_the_names_of_the_classes(tmp_path: Path) -> None:
    for label, size in ((3, (28, 28)), (7, (60, 40))):
        (tmp_path / str(label)).mkdir()
        for number in range(20):
            pixels = np.full((size[1], size[0], 3), 10 * label, np.uint8)
            Image.fromarray(pixels).save(tmp_path / str(label) / f"{number}.png")
    (tmp_path / ".cache").mkdir()
    config = Config.of({"batch-size": 8})
    train, validation = load(node(tmp_path, **{"data-path": str(tmp_path)}), config)
    assert train.images.shape == (36, 1, 28, 28)
    assert len(validation) == 4
    for image, label in zip(train.images, train.labels, strict=True):
        assert set(image.flatten().tolist()) == {10 * int(label)}


def test_colour_is_kept_where_the_data_set_has_it(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    Image.fromarray(np.full((32, 32, 3), (1, 2, 3), np.uint8)).save(tmp_path / "cat" / "a.png")
    images, labels = device_data.read_image_folder(tmp_path, DATASETS["cifar10"])
    assert images[0, :, 4, 5].tolist() == [1, 2, 3]
    assert labels.tolist() == [3]


def test_what_is_wrong_with_ones_own_images_is_named(tmp_path: Path) -> None:
    def of(folder: Path) -> None:
        load(node(tmp_path, **{"data-path": str(folder)}), Config.of({}))

    with pytest.raises(AppError, match="none is no folder"):
        of(tmp_path / "none")
    with pytest.raises(AppError, match="holds no images"):
        of(tmp_path)
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(AppError, match=r"x\.png is no readable image"):
        of(tmp_path)
    (tmp_path / "3").rename(tmp_path / "three")
    with pytest.raises(AppError, match="'three' is no class of the data set: 0, 1"):
        of(tmp_path)


def test_threads_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FL_THREADS", "3")
    assert host.threads() == 3
    monkeypatch.setenv("FL_THREADS", "many")
    with pytest.raises(AppError, match="FL_THREADS='many'"):
        host.threads()
    monkeypatch.delenv("FL_THREADS")
    assert host.threads() >= 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_images_that_are_closed_to_the_apps_user_are_named_with_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    nobody = pwd.getpwnam("nobody").pw_uid
    os.seteuid(nobody)
    try:
        with pytest.raises(AppError, match=f"data_path={tmp_path}/images is closed to nobody"):
            device_data.read_image_folder(tmp_path / "images", DATASETS["cifar10"])
    finally:
        os.seteuid(0)
