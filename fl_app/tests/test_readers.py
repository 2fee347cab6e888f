import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest

from fl_app.datasets import DATASETS, find
from fl_app.errors import AppError
from fl_app.readers import read_cifar, read_csv_digits, read_idx

from .small_data import idx_bytes, write_cifar100_folder, write_cifar_folder, write_idx_folder, write_pictures


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("subfolder", ["", "raw", "FashionMNIST/raw"])
def test_idx_files_are_found_and_read(tmp_path: Path, subfolder: str, gzipped: bool) -> None:
    images = write_idx_folder(tmp_path / subfolder, gzipped=gzipped)
    source = find("fashion_mnist", str(tmp_path))
    raw = source.load()
    assert str(tmp_path) in source.words
    assert raw.train_images.shape == (200, 28, 28, 1)
    assert np.array_equal(raw.train_images[..., 0], images)
    assert raw.train_labels.dtype == np.int64
    assert raw.test_labels.tolist() == [n % 10 for n in range(40)]


def test_cifar_pictures_keep_their_colours_and_places(tmp_path: Path) -> None:
    rows = write_cifar_folder(tmp_path / "cifar-10-batches-py")
    raw = find("cifar10", str(tmp_path)).load()
    assert raw.train_images.shape == (100, 32, 32, 3)
    assert raw.test_images.shape == (20, 32, 32, 3)
    # A row holds 1024 red, 1024 green and 1024 blue values, each plane row by row.
    assert raw.train_images[3, 5, 7].tolist() == [rows[3, c * 1024 + 5 * 32 + 7] for c in range(3)]


def test_mnist5k_holds_out_100_images_of_each_class() -> None:
    raw = find("mnist5k", "").load()
    assert np.bincount(raw.train_labels).tolist() == [400] * 10
    assert np.bincount(raw.test_labels).tolist() == [100] * 10
    # What the table says of the data set is about right for its fifth too.
    assert raw.train_images.mean() / 255 == pytest.approx(DATASETS["mnist5k"].mean[0], abs=0.005)
    assert raw.train_images.std() / 255 == pytest.approx(DATASETS["mnist5k"].std[0], abs=0.005)


@pytest.mark.parametrize("keep", [0, 3, 10, 100])
def test_a_truncated_idx_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(idx_bytes(np.zeros((2, 28, 28), np.uint8))[:keep])
    with pytest.raises(AppError, match=str(path)):
        read_idx(path)


def test_a_truncated_gzip_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((2, 28, 28), np.uint8)))[:-12])
    with pytest.raises(AppError, match=str(path)):
        read_idx(path)


def test_damaged_data_in_a_folder_is_an_error_and_not_replaced_by_other_data(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(idx_bytes(np.zeros(199, np.uint8))))
    with pytest.raises(AppError, match=r"does not fit train-labels-idx1-ubyte\.gz"):
        find("mnist", str(tmp_path)).load()


def test_a_truncated_cifar_batch_is_named(tmp_path: Path) -> None:
    write_cifar_folder(tmp_path)
    path = tmp_path / "data_batch_2"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(AppError, match="data_batch_2"):
        find("cifar10", str(tmp_path)).load()


def test_a_cifar_batch_with_too_few_labels_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": np.zeros((3, 3072), np.uint8), b"labels": [1, 2]}))
    with pytest.raises(AppError, match="2 labels"):
        read_cifar([path])


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "exploded",)  # type: ignore[return-value]

    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": Bomb(), b"labels": []}))
    with pytest.raises(AppError, match="data_batch_1"):
        read_cifar([path])
    assert not (tmp_path / "exploded").exists()


def test_a_table_of_digits_with_a_column_too_few_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(gzip.compress(b",".join([b"0"] * 784)))
    with pytest.raises(AppError, match="784 columns"):
        read_csv_digits(path)


def test_a_data_set_that_is_nowhere_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(AppError, match=r"uoft-cs/cifar10 cannot be downloaded .* set data_folder"):
        find("cifar10", "").load()


def test_a_download_gives_the_same_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)

    def load_dataset(name: str, split: str) -> datasets.Dataset:
        assert (name, split) in {("uoft-cs/cifar10", "train"), ("uoft-cs/cifar10", "test")}
        return datasets.Dataset.from_dict({"img": [Image.fromarray(p) for p in pixels], "label": [3, 1, 4, 1]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = DATASETS["cifar10"].hub.source()  # type: ignore[union-attr]
    raw = source.load()
    assert np.array_equal(raw.train_images, pixels)
    assert raw.test_labels.tolist() == [3, 1, 4, 1]


def test_cifar_100_has_its_fine_classes(tmp_path: Path) -> None:
    write_cifar100_folder(tmp_path / "cifar-100-python")
    raw = find("cifar100", str(tmp_path)).load()
    assert raw.train_images.shape == (200, 32, 32, 3)
    assert raw.test_labels.max() == 99
    assert len(DATASETS["cifar100"].classes) == 100
    assert list(DATASETS["cifar100"].classes) == sorted(DATASETS["cifar100"].classes)
    # CIFAR-10's files are no CIFAR-100, though they lie under its names.
    write_cifar_folder(tmp_path)
    (tmp_path / "cifar-100-python" / "test").write_bytes((tmp_path / "test_batch").read_bytes())
    with pytest.raises(AppError, match=r"cifar-100-python/test: not a readable CIFAR batch"):
        find("cifar100", str(tmp_path)).load()


def test_pictures_are_read_by_folders_and_every_fifth_of_a_class_is_held_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, {"oak": 10, "elm": 5})
    (tmp_path / ".thumbnails").mkdir()
    source = find("imagefolder", str(tmp_path), 16)
    assert source.classes == ("elm", "oak")
    raw = source.load()
    assert raw.train_images.shape == (12, 16, 16, 3)
    assert np.bincount(raw.train_labels).tolist() == [4, 8]
    assert np.bincount(raw.test_labels).tolist() == [1, 2]
    assert raw.train_images[raw.train_labels == 1][0, 3, 4].tolist() == pytest.approx([40, 0, 160], abs=3)


def test_a_folder_of_pictures_may_say_itself_which_are_held_out(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", {"oak": 3, "elm": 3})
    write_pictures(tmp_path / "test", {"oak": 2})
    raw = find("imagefolder", str(tmp_path), 16).load()
    assert (raw.train_labels.tolist(), raw.test_labels.tolist()) == ([0, 0, 0, 1, 1, 1], [1, 1])
    write_pictures(tmp_path / "test", {"fir": 1})
    with pytest.raises(AppError, match="'fir' is no class of the data set: elm, oak"):
        find("imagefolder", str(tmp_path), 16).load()


def test_what_is_wrong_with_a_folder_of_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="imagefolder needs data_folder"):
        find("imagefolder", "", 16)
    with pytest.raises(AppError, match="does not hold imagefolder"):
        find("imagefolder", str(tmp_path), 16)
    write_pictures(tmp_path, {"oak": 2})
    cut = tmp_path / "oak" / "1.jpg"
    cut.write_bytes(cut.read_bytes()[:-40])
    with pytest.raises(AppError, match=r"oak/1\.jpg is no readable image"):
        find("imagefolder", str(tmp_path), 16).load()
