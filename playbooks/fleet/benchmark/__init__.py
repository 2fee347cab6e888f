"""The vision benchmark on the controller: its settings, its table of models, its results and their comparison."""

from fleet.settings import Setting

TASKS = ("train", "finetune", "evaluate")
_COMBINED = r"(train|finetune|evaluate)(,(train|finetune|evaluate))*"

# Given as extra vars alone: `batch_size` and `dataset` in group_vars/all.yml are those of runs.
SETTINGS: tuple[Setting, ...] = (
    Setting(
        "models",
        "str",
        "auto",
        "models of timm, with commas between them (timm/ before a name may be left out); `auto` is those of the "
        "published table that fit into a device's memory, `all` the whole table",
        pattern=r".+",
        says="auto, all, or names of timm's models with commas between them",
    ),
    Setting(
        "measure",
        "str",
        ",".join(TASKS),
        "what is timed: training of all layers, of the head alone, and evaluation",
        pattern=_COMBINED,
        says="one or more of train, finetune and evaluate, with commas between them",
    ),
    Setting("steps", "int", 20, "batches of each task that are timed, after one to warm up", min=1),
    Setting(
        "batch_size",
        "str",
        "16",
        "images in a batch; `auto` is the largest power of two that fits into a device's memory",
        pattern=r"auto|0*[1-9]\d{0,5}",
        says="auto, or a whole number from 1",
    ),
    Setting(
        "dataset",
        "str",
        "in_memory",
        "random images: made in memory, or JPEG files on the device's own disk, which a loader decodes",
        choices=("in_memory", "in_fs"),
    ),
    Setting(
        "input_shape",
        "str",
        "3,224,224",
        "channels, height and width of an image",
        pattern=r"[13],[1-9]\d{0,3},[1-9]\d{0,3}",
        says="1 or 3 channels, height and width, with commas between them",
    ),
    Setting("num_classes", "int", 1000, "classes that a model tells apart", min=2, max=100000),
    Setting("num_images", "int", 1000, "images of the data set; no more are made than the steps look at", min=1),
    Setting(
        "memory_format",
        "str",
        "auto",
        "layout of images and weights in memory; `auto` tries both on a few batches and takes the faster",
        choices=("auto", "contiguous", "channels_last"),
    ),
    Setting(
        "threads",
        "int",
        0,
        "threads that a measurement computes with; 0 is the device's cores, or its share of this machine's",
        min=0,
        max=1024,
    ),
    Setting("fresh", "bool", False, "measure all anew where an earlier benchmark of the same settings was cut off"),
)
