"""The reader of VeRi-776, on a small folder in the original format."""

from pathlib import Path

import numpy as np
import pytest

from fl_app.datasets import find
from fl_app.errors import AppError

from .small_data import write_veri_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_veri_folder(tmp_path / "VeRi")
    return tmp_path / "VeRi"


def test_images_vehicles_and_cameras_of_the_three_splits(folder: Path) -> None:
    source = find("veri776", str(folder.parent), 32)  # also above the folder
    assert "108 of 9 vehicles (train), 16 of 4 vehicles (query), 48 of 4 vehicles (test)" in source.words
    raw = source.load()
    assert raw.cameras is not None
    assert raw.train_images.shape == (108, 32, 32, 3)
    assert raw.cameras.names == ("c001", "c002", "c003", "c004")
    assert (raw.cameras.queries, len(raw.test_labels)) == (16, 64)
    assert np.bincount(raw.train_labels).tolist() == [0, *[12] * 9]
    assert set(raw.test_labels) == {10, 11, 12, 13}
    assert raw.cameras.train[:4].tolist() == [0, 0, 0, 1]
    # Each picture is the one that its line names: vehicles have colours of their own.
    assert raw.train_images[:12].mean(axis=(0, 1, 2)) != pytest.approx(raw.train_images[12:24].mean(axis=(0, 1, 2)))


@pytest.mark.parametrize("gone", ["name_*.txt", "*_label.xml"])
def test_the_lists_or_the_labels_are_enough(folder: Path, gone: str) -> None:
    expected = find("veri776", str(folder), 8).load()
    for path in folder.glob(gone):
        path.unlink()
    raw = find("veri776", str(folder), 8).load()
    assert sorted(raw.train_labels) == sorted(expected.train_labels)
    assert raw.test_labels.tolist() == expected.test_labels.tolist()


def test_the_labels_in_gb2312_decide_over_the_names(folder: Path) -> None:
    label = folder / "train_label.xml"
    label.write_bytes(label.read_bytes().replace(b'vehicleID="0003"', b'vehicleID="0300"'))
    assert 300 in find("veri776", str(folder), 8).load().train_labels


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("train_label.xml", r"train_label\.xml: damaged, or not VeRi-776's"),
        ("name_query.txt", r"name_query\.txt, line 15: '0013_c003_00003000_0' is no image in .*image_query"),
    ],
)
def test_a_file_that_was_cut_short_is_named(folder: Path, broken: str, words: str) -> None:
    cut(folder / broken)
    with pytest.raises(AppError, match=words):
        find("veri776", str(folder), 8)


def test_a_picture_that_was_cut_short_is_named(folder: Path) -> None:
    cut(folder / "image_test" / "0011_c002_00002001_1.jpg")
    with pytest.raises(AppError, match=r"0011_c002_00002001_1\.jpg is no readable image"):
        find("veri776", str(folder), 8).load()


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "image_train" / "0001_c001_00001000_0.jpg").unlink()
    with pytest.raises(AppError, match=r"name_train\.txt, line 1: '0001_c001_00001000_0\.jpg' is no image in"):
        find("veri776", str(folder), 8)
    for path in (folder / "image_query").iterdir():
        path.unlink()
    (folder / "image_query").rmdir()
    (folder / "name_train.txt").unlink()
    with pytest.raises(AppError, match="image_query is missing"):
        find("veri776", str(folder), 8)
    (tmp_path / "other").mkdir()
    with pytest.raises(AppError, match="other does not hold veri776"):
        find("veri776", str(tmp_path / "other"))
    with pytest.raises(AppError, match="veri776 needs data_folder"):
        find("veri776", "")


def test_a_name_that_says_nothing_is_named(folder: Path) -> None:
    for path in (*folder.glob("name_*.txt"), *folder.glob("*.xml")):
        path.unlink()
    (folder / "image_train" / "0001_c001_00001000_0.jpg").rename(folder / "image_train" / "car.jpg")
    with pytest.raises(AppError, match=r"car\.jpg is not named <vehicle>_c<camera>_<time>_<number>\.jpg"):
        find("veri776", str(folder), 8)
