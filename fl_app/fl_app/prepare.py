"""Make the data parts of a run on the controller.

    python -m fl_app.prepare --config config.json --cids 0,1,2,3 [--own-data 3] --cache DIR

Writes ``DIR/<key>/{dataset.json, server/, 0/, 1/, …}`` once and prints one JSON object that names the folder.
The key is a hash of what the parts depend on, the data set's files among it. Exit status 2 and one line on
stderr: the user has to do something. ``memory_mb`` is what training takes on a device, where that could be measured.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fl_app import memory, strategies, weights
from fl_app.datasets import DATASETS, entry_of, find
from fl_app.errors import AppError
from fl_app.models import side_of
from fl_app.partition import partition, shaped_by
from fl_app.settings import Config
from fl_app.sources import Raw, Source

FORMAT = 1  # to be raised when the layout of the folder or the way of a split changes


def prepare(config: Config, cids: Iterable[int], own_data: Iterable[int], cache: Path) -> dict[str, Any]:
    """Make, or find in ``cache``, the parts of ``cids``; those in ``own_data`` get no images.

    Weights to begin with lie in the server's folder, and in the devices' where they stay frozen. There are
    ``max(cid) + 1`` partitions. Returns ``{"key", "folder", "run_config", "dataset"}``. Raises `AppError`.
    """
    devices = sorted(set(cids))
    served = [cid for cid in devices if cid not in set(own_data)]
    parts = max(devices, default=-1) + 1
    entry = entry_of(config)
    source = find(config.dataset, config.data_folder, entry.side)
    what = [FORMAT, config.dataset, source.fingerprint(), parts, served, shaped_by(config)]
    if not DATASETS[config.dataset].classes:
        what += [entry.side, source.classes]
    if source.classes:
        config = replace(config, classes="/".join(source.classes))
    if given := weights.shaped_by(config):
        what += [given, devices]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache / key
    if not folder.is_dir():
        _say(f"reading {config.dataset}: {source.words}")
        _make(folder, config, source, parts, served, devices)
    info: dict[str, Any] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    _check_sizes(config, info)
    own = {"classes": config.classes} if source.classes else {}
    return {"key": key, "folder": str(folder), "run_config": {"partition": key, **own}, "dataset": info}


def prepared(config: Config, made: dict[str, Any]) -> Config:
    """Return ``config`` with what `prepare` found out."""
    return replace(config, **made["run_config"])


def _make(folder: Path, config: Config, source: Source, parts: int, served: list[int], devices: list[int]) -> None:
    """Write the folder under another name and rename it, so that it is whole or absent."""
    import numpy as np

    from fl_app import storage

    raw = source.load()
    # What the parts are told apart by: classes or, where identities are a device's own affair, cameras.
    classes = raw.cameras.names if raw.cameras else entry_of(config).classes
    kinds = raw.cameras.train if raw.cameras else raw.train_labels
    _check_labels(raw, source.words, None if raw.cameras else len(classes))
    _say(f"dividing {len(raw.train_labels)} images into {parts} parts: {config.partitioner}")
    seen_by = raw.cameras.train if raw.cameras else None
    divided = partition(raw.train_labels, parts, config, seen_by) if served else []
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        made = Path(name) / folder.name
        of_test = {"cameras": raw.cameras.test, "queries": np.asarray(raw.cameras.queries)} if raw.cameras else {}
        storage.write(made / "server", raw.test_images, raw.test_labels, **of_test)
        labels = {}
        for cid in served:
            chosen = divided[cid]
            more = {} if seen_by is None else {"cameras": seen_by[chosen]}
            storage.write(made / str(cid), raw.train_images[chosen], raw.train_labels[chosen], **more)
            labels[str(cid)] = np.bincount(kinds[chosen], minlength=len(classes)).tolist()
        seen = np.sum([*labels.values(), [0] * len(classes)], axis=0)
        if missing := [name for name, count in zip(classes, seen, strict=True) if served and not count]:
            _say(f"no device was sent images of: {', '.join(missing)}")
        info = {
            "name": config.dataset,
            "source": source.words,
            "checksum": raw.checksum(),
            "classes": list(classes),
            "train_examples": sum(map(sum, labels.values())),
            "test_examples": len(raw.test_labels),
            "queries": raw.cameras.queries if raw.cameras else None,
            "alpha": None,
            **shaped_by(config),
            "labels": labels,
        }
        (made / "dataset.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
        shutil.copy(made / "dataset.json", made / "server")
        if config.weights:
            _write_weights(config, made, devices)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process made the same folder in the meantime
                raise


def _write_weights(config: Config, made: Path, devices: list[int]) -> None:
    entry = entry_of(config)
    _say(f"reading the weights of {config.model}: {config.weights}")
    first = made / "server" / weights.FILE
    weights.write(config, entry, first)
    for cid in devices if config.finetune == "head" else ():
        (made / str(cid)).mkdir(exist_ok=True)
        (made / str(cid) / weights.FILE).hardlink_to(first)


def _check_labels(raw: Raw, words: str, classes: int | None) -> None:
    for labels in (raw.train_labels, raw.test_labels):
        if len(labels) == 0:
            raise AppError(f"{words}: a split without images")
        if classes is not None and (labels.min() < 0 or labels.max() >= classes):
            raise AppError(f"{words}: damaged: a label {labels.max()} where the classes are 0 to {classes - 1}")


def _check_sizes(config: Config, info: dict[str, Any]) -> None:
    for cid, counts in info["labels"].items():
        images = sum(counts)
        training = images - validation_size(images, config.validation_fraction)
        if training < config.batch_size:
            raise AppError(
                f"batch_size={config.batch_size} is larger than the {training} training images of cid {cid} "
                f"({config.dataset}, partitioner={config.partitioner}, {images} images with validation): "
                "take a smaller batch_size, fewer devices or another partitioner"
            )


def validation_size(images: int, fraction: float) -> int:
    """Return how many of a device's ``images`` are kept for validation: at least one where there are two."""
    return min(max(round(images * fraction), 1), max(images - 1, 0))


def _say(text: str) -> None:
    print(f"fl_app.prepare: {text}", file=sys.stderr, flush=True)


def _numbers(text: str) -> list[int]:
    numbers = [int(word) for word in text.split(",") if word.strip()]
    if any(number < 0 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r}: a cid is 0 or more")
    return numbers


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fl_app.prepare", description="Make the data parts of a run.")
    parser.add_argument("--config", type=Path, required=True, help="JSON file with the run configuration")
    parser.add_argument("--cids", type=_numbers, required=True, help="the devices' numbers, as 0,1,2")
    parser.add_argument("--own-data", type=_numbers, default=[], help="numbers of devices with images of their own")
    parser.add_argument("--cache", type=Path, required=True, help="folder to keep the parts in")
    args = parser.parse_args(argv)
    try:
        config = Config.of(json.loads(args.config.read_text(encoding="utf-8")))
        strategies.check(config, devices=len(args.cids))
        result = prepare(config, args.cids, args.own_data, args.cache)
        ready = prepared(config, result)
        result["memory_mb"] = memory.needed_mb(ready, args.cache)
        result["side"] = side_of(ready, entry_of(ready))
    except (AppError, OSError, json.JSONDecodeError) as error:
        print(f"fl_app.prepare: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
