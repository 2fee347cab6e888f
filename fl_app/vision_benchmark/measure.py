"""One model, measured in this process, which does nothing else: its peak of memory is its own.

    python vision_benchmark.pyz measure FOLDER NAME BATCH_SIZE

prints lines of JSON: ``{"task": …, "step": …}`` as it goes, and at the end ``{"result": …}`` or ``{"error": …}``.
"""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vision_benchmark import images, memory, zoo
from vision_benchmark.clock import middle_and_spread
from vision_benchmark.plan import Model, Plan
from vision_benchmark.tasks import Bench, Step

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PROBE = 3  # batches of training by which the faster layout is chosen
IMAGES = "images"  # beside the plan


def measure(
    plan: Plan, model: Model, batch_size: int, folder: Path, tell: Callable[[str, int], None]
) -> dict[str, Any]:
    """Return a model's row: seconds and milliseconds of each task, memory, and how it was run."""
    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    built = zoo.create(model.name, plan.input_shape, plan.num_classes).to(device)
    if plan.dataset == "in_fs":
        batches = images.in_files(plan, folder / IMAGES, batch_size)
    else:
        batches = images.in_memory(plan, batch_size, memory.kept_images(plan, batch_size))
    bench = Bench(built, batches, device)
    probed = _choose_layout(bench, plan, tell)
    row: dict[str, Any] = {
        "batch_size": batch_size,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "memory_format": next(name for name, layout in LAYOUTS.items() if layout is bench.layout),
        **{f"{name}_ms": round(milliseconds, 3) for name, milliseconds in probed.items()},
    }
    for task in plan.tasks:
        begun = time.time()
        step = _step(bench, task, model)
        times = bench.time(step, plan.steps, 1, lambda number, task=task: tell(task, number))  # type: ignore[misc]
        middle, spread = middle_and_spread(times)
        row |= {
            f"t_{task}": round(sum(times) / 1000, 6),
            f"{task}_batches": len(times),
            f"{task}_ms": round(middle, 3),
            f"{task}_ms_spread": round(spread, 3),
            f"{task}_from": begun,
            f"{task}_to": time.time(),
        }
    row["peak_memory_mb"] = round(_peak_mb(), 1)
    if device.type == "cuda":
        row["gpu_memory_mb"] = round(torch.cuda.max_memory_reserved() / 1e6, 1)
    return row


def _step(bench: Bench, task: str, model: Model) -> Step:
    if task == "evaluate":
        return bench.evaluator()
    return bench.trainer(None if task == "train" else zoo.head_parameters(bench.model, model.head))


def _choose_layout(bench: Bench, plan: Plan, tell: Callable[[str, int], None]) -> dict[str, float]:
    """Set the layout that was asked for or is the faster; return the milliseconds of the fastest batch of each."""
    if plan.memory_format != "auto":
        bench.set_layout(LAYOUTS[plan.memory_format])
        return {}
    if sum(isinstance(module, nn.Conv2d) for module in bench.model.modules()) < 2:
        return {}  # a transformer's one convolution cuts the image into patches: there is no layout to choose
    step = bench.trainer(None) if "train" in plan.tasks else bench.evaluator()
    found = {}
    for name, layout in LAYOUTS.items():
        bench.set_layout(layout)
        found[name] = min(bench.time(step, PROBE, 1, lambda number: tell("warm-up", number)))
    bench.set_layout(LAYOUTS[min(found, key=lambda name: found[name])])
    return found


def _peak_mb() -> float:
    try:  # proc(5), for getrusage(2) counts what a parent held when it started this process
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # on macOS in bytes
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6


def main(folder: Path, name: str, batch_size: int) -> None:
    """Measure one model of a folder's plan and print what comes of it."""
    plan = Plan.load(folder)
    model = next(model for model in plan.models if model.name == name)

    def say(content: dict[str, Any]) -> None:
        print(json.dumps(content), flush=True)

    try:
        say({"result": measure(plan, model, batch_size, folder, lambda task, step: say({"task": task, "step": step}))})
    except Exception as error:  # whatever a model raises is its row
        text = " ".join(str(error).split())
        full = isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in text
        say({"error": text[:300] or type(error).__name__, "memory": full})
