"""The vision benchmark against the loop of Embedded Federated Vision: the same steps of the same models in one run.

    python tests/bench/vision.py [--models resnet18,…] [--steps 10] [--batch-size 16] [--threads 2] [--repeat 3]

It is github.com/jafermarq/federated-embedded-vision; its loop (eflbench/jobs.py and dataset.py) is written anew
below: a list of random float images through a DataLoader, SGD, wall time over all steps, with its warm-up on. Both
ways alternate, each in a process of its own, and the fastest of each is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "playbooks"), str(PROJECT / "fl_app")]

from fleet.benchmark import SETTINGS, models  # noqa: E402
from fleet.benchmark.plan import make  # noqa: E402
from vision_benchmark.plan import Plan  # noqa: E402

TASKS = ("train", "finetune")


def published_loop(plan: Plan) -> dict[str, float]:
    """Return the seconds of its tasks for the plan's one model, measured in this process."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    from vision_benchmark import zoo

    torch.set_num_threads(plan.threads)
    dataset = [
        (torch.randn(plan.input_shape), int(torch.randint(0, plan.num_classes, ()))) for _ in range(plan.num_images)
    ]
    loader: DataLoader[Any] = DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=plan.batch_size,
        shuffle=True,
        drop_last=True,
    )
    model = plan.models[0]

    def train(net: nn.Module, steps: int) -> float:
        optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, net.parameters()), lr=0.1)
        criterion = nn.CrossEntropyLoss()
        net.to("cpu")
        net.train()
        begun = time.time()
        for done, (images, labels) in enumerate(loader, 1):
            images, labels = images.to("cpu"), labels.to("cpu")
            optimizer.zero_grad()
            loss = criterion(net(images), labels)
            loss.backward()
            optimizer.step()
            if done == steps:
                break
        return time.time() - begun

    def build() -> nn.Module:
        return zoo.create(model.name, plan.input_shape, plan.num_classes)

    train(build(), 1)
    found = {}
    for task in TASKS:
        net = build()
        if task == "finetune":
            head = {id(parameter) for parameter in zoo.head_parameters(net, model.head)}
            for parameter in net.parameters():
                parameter.requires_grad = id(parameter) in head
        found[task] = train(net, plan.steps)
    return found


def here(plan: Plan, folder: Path) -> dict[str, Any]:
    """Return the row that the benchmark itself has for the plan's one model."""
    (folder / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    command = [sys.executable, "-m", "vision_benchmark", "measure", str(folder), plan.models[0].name]
    said = _last_line([*command, str(plan.batch_size)])
    row: dict[str, Any] = said["result"]
    return row


def _last_line(command: list[str]) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "fl_app")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="resnet18,mobilenetv3_small_100,vit_tiny,efficientvit_b0")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--published-loop", type=Path, help=argparse.SUPPRESS)  # the plan of a process of its own
    given = parser.parse_args()
    if given.published_loop:
        print(json.dumps(published_loop(Plan.load(given.published_loop))))
        return
    own = {setting.name: setting.default for setting in SETTINGS}
    own |= {"steps": given.steps, "batch_size": str(given.batch_size), "measure": ",".join(TASKS)}
    print(f"Seconds of {given.steps} batches of {given.batch_size}, {given.threads} threads.\n")
    print("| model | task | published loop | here | times faster | layout | contiguous, ms | channels last, ms |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in models.choose(given.models):
        content = {**make({**own, "models": name}), "threads": given.threads}
        plan = Plan.from_json(json.dumps(content))
        theirs: list[dict[str, Any]] = []
        mine: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(given.repeat):
                mine.append(here(plan, Path(folder)))
                theirs.append(_last_line([sys.executable, __file__, "--published-loop", folder]))
        fastest = min(mine, key=lambda row: float(row["t_train"]))
        for task in TASKS:
            before, after = min(row[task] for row in theirs), min(row[f"t_{task}"] for row in mine)
            layouts = [f"{fastest[key]:.0f}" if key in fastest else "" for key in ("contiguous_ms", "channels_last_ms")]
            cells = [name, task, f"{before:.2f}", f"{after:.2f}", f"{before / after:.2f}", fastest["memory_format"]]
            print(f"| {' | '.join([*cells, *layouts])} |", flush=True)


if __name__ == "__main__":
    main()
