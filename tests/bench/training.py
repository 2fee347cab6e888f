"""`python tests/bench/training.py`: images a second and peak memory of training on one core, in three ways.

The ways are those of Flower's older examples (PIL, ToTensor and Normalize for each image in a DataLoader), of a
tutorial with a file of NumPy's and cv2 for each image (which needs `pip install opencv-python-headless`), and this
project's, also in the memory layout that it does not choose. Model, optimizer, batch size and images are the same. Each
way is a process; they take turns, so that what else the machine does falls on all of them, and the fastest turn counts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[0] = str(PROJECT / "fl_app")
import numpy as np  # noqa: E402
import torch  # noqa: E402

from fl_app import host, initial, training  # noqa: E402
from fl_app.datasets import DATASETS  # noqa: E402
from fl_app.device_data import Split  # noqa: E402
from fl_app.inputs import Inputs  # noqa: E402
from fl_app.settings import Config  # noqa: E402

# In a turn: about a second.
IMAGES = {
    "net": 4000,
    "mobilenet_v3_small": 480,
    "resnet18": 96,
    "lenet5": 4000,
    "mnist_cnn": 4000,
    "resnet8": 480,
    "mobilenet_v2": 160,
}
CIFAR = DATASETS["cifar10"]
Turn = Callable[[], None]


def arrays(images: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return as many made-up CIFAR images (n, 32, 32, 3), and their labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, images)


def loop(model: torch.nn.Module, config: Config, loader: Any) -> Turn:
    """Return an epoch as all of these examples write it, with torch as it is."""
    importlib.import_module("torch._dynamo.config")  # the app leaves it out
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum)

    def turn() -> None:
        model.train()
        for images, labels in loader:
            optimizer.zero_grad()
            criterion(model(images.float()), labels).backward()
            optimizer.step()

    return turn


def one_by_one(config: Config, images: int, folder: Path) -> Turn:
    """PIL, ToTensor and Normalize for each image."""
    from PIL import Image

    from fl_app import timm_models

    timm_models.library()  # brings torchvision, also where its compiled part does not fit
    from torchvision.transforms import Compose, Normalize, ToTensor

    pixels, labels = arrays(images)
    transform = Compose([ToTensor(), Normalize(CIFAR.mean, CIFAR.std)])

    class Pictures(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return images

        def __getitem__(self, index: int) -> tuple[Any, int]:
            return transform(Image.fromarray(pixels[index])), int(labels[index])

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=config.batch_size, shuffle=True)
    return loop(
        initial.laid_out(initial.build(config, CIFAR, None, whole=True), torch.contiguous_format), config, loader
    )


def file_by_file(config: Config, images: int, folder: Path) -> Turn:
    """A file of NumPy's and cv2's resize for each image, as float64."""
    import cv2

    cv2.setNumThreads(1)
    pixels, labels = arrays(images)
    for index, image in enumerate(pixels):
        np.save(folder / f"{index}.npy", image)
    del pixels

    class Files(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return images

        def __getitem__(self, index: int) -> tuple[Any, int]:
            image = cv2.resize(np.load(folder / f"{index}.npy"), (32, 32)) / 255
            return torch.tensor(image).permute(2, 0, 1), int(labels[index])

    loader = torch.utils.data.DataLoader(Files(), batch_size=config.batch_size, shuffle=True)
    return loop(
        initial.laid_out(initial.build(config, CIFAR, None, whole=True), torch.contiguous_format), config, loader
    )


def ours(config: Config, images: int, folder: Path, *, other: bool = False) -> Turn:
    """This project's training; ``other``: in the memory layout that it does not choose."""
    pixels, labels = arrays(images)
    data = Split(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels))
    model = initial.build(config, CIFAR, None, whole=True)
    inputs = Inputs.of(model, CIFAR, config)
    if other:
        layouts = {torch.channels_last: torch.contiguous_format, torch.contiguous_format: torch.channels_last}
        inputs.memory_format = layouts[inputs.memory_format]
        initial.laid_out(model, inputs.memory_format)
    optimizer = training.ready(model, config)
    return lambda: print(training.train(model, optimizer, data, inputs, config, seed=1), file=sys.stderr)


WAYS: dict[str, Callable[[Config, int, Path], Turn]] = {
    "an image at a time: PIL, ToTensor, Normalize": one_by_one,
    "an image at a time: .npy file, cv2": file_by_file,
    "this project": ours,
    "this project, the other memory layout": lambda *given: ours(*given, other=True),
}


def work(way: str, model: str) -> None:
    """Train for each line on stdin, tell the seconds; in the end, the peak memory in MB."""
    torch.set_num_threads(1)
    config = replace(Config.of({"model": model, "dataset": "cifar10", "batch-size": 32, "lr": 0.01}), epochs=1)
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        turn = WAYS[way](config, IMAGES[model], Path(folder))
        turn()
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            turn()
            print(json.dumps(time.perf_counter() - start), flush=True)
    print(json.dumps(host.peak_memory_mb()), flush=True)


def measure(model: str, turns: int, ways: list[str]) -> dict[str, tuple[float, float]]:
    """Return images a second and the peak memory in MB of each way."""
    command = [sys.executable, __file__, "--models", model, "--work"]
    running = {
        way: subprocess.Popen(
            [*command, way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for way in ways
    }
    try:
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for process in running.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "a way does not run: try it with --work"
        for _ in range(turns):
            for way, process in running.items():
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write("go\n")
                process.stdin.flush()
                seconds[way].append(json.loads(process.stdout.readline()))
        peaks = {way: float(process.communicate(timeout=60)[0]) for way, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return {way: (IMAGES[model] / min(seconds[way]), peaks[way]) for way in ways}


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(IMAGES), default=list(IMAGES)[:3])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--work", choices=list(WAYS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work, args.models[0])
        return
    print("| model | way | images/s | of the first | peak memory, MB |\n|---|---|---|---|---|")
    for model in args.models:
        found = measure(model, args.turns, args.ways)
        first = found[args.ways[0]][0]
        for way, (speed, peak) in found.items():
            print(f"| {model} | {way} | {speed:,.0f} | {speed / first:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
