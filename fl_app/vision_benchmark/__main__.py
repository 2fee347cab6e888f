"""The commands of the package; see their modules."""

import argparse
import json
import sys
from pathlib import Path


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="vision_benchmark", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("start", "measure a folder's plan in a process of its own, if none is at it"),
        ("state", "print alive, or gone"),
        ("stop", "end the folder's process"),
    ):
        commands.add_parser(name, help=text).add_argument("folder", type=Path)
    measure = commands.add_parser("measure", help="measure one model in this process")
    measure.add_argument("folder", type=Path)
    measure.add_argument("name")
    measure.add_argument("batch_size", type=int)
    size = commands.add_parser("size", help="print parameters, GMACs and activations of models, as JSON")
    size.add_argument("--shape", type=int, nargs=3, default=(3, 224, 224))
    size.add_argument("--classes", type=int, default=1000)
    size.add_argument("names", nargs="*")
    given = parser.parse_args()
    if given.command == "measure":
        from vision_benchmark import measure as one  # late: torch

        one.main(given.folder, given.name, given.batch_size)
    elif given.command == "size":
        _sizes(given.names, tuple(given.shape), given.classes)
    else:
        from vision_benchmark import daemon

        if given.command == "start":
            daemon.start(given.folder)
        elif given.command == "stop":
            print("stopped" if daemon.stop(given.folder) else "there was none")
        else:
            print("alive" if daemon.alive(given.folder) else "gone")


def _sizes(names: list[str], shape: tuple[int, int, int], classes: int) -> None:
    from dataclasses import asdict

    from vision_benchmark import zoo
    from vision_benchmark.size import size

    found: dict[str, dict[str, object]] = {}
    for name in names:
        if not zoo.known(name):
            import difflib

            found[name] = {"unknown": difflib.get_close_matches(name, zoo.names(), n=1)}
            continue
        try:
            found[name] = asdict(size(name, shape, classes)) | {"weights": zoo.default_weights(name)}
        except Exception as error:  # whatever a model raises where it does not take such images
            found[name] = {"error": " ".join(str(error).split())[:200]}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
