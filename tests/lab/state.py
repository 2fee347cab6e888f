"""What a lab has to remember: its plan, written before anything is made, and what it will put back."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .disk import unmount
from .errors import LabError, held, run

MACHINE = Path("/run/flowerbed-lab")
FOUND = "found.json"
NETWORK_LOCK = "network"  # held from the look for free names to their use
Found = dict[str, dict[str, dict[str, Any]]]


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file whole, so that a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(data, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_json(path: Path, default: Any) -> Any:
    """Return a JSON file's content, or `default` where there is none.

    Raises:
        LabError: the file is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except ValueError as error:
        raise LabError(f"{path} is damaged: {error}") from None


@contextmanager
def locked(path: Path, wait: bool, remove: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on a file, which may be removed while it is held, or is in the end with `remove`.

    Commands that are started in the meantime (:func:`lab.errors.run`) hold it too, each until it ends.

    Raises:
        LabError: another process holds it, and `wait` is false.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise LabError(f"another `lab` command holds {path}") from None
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                held.add(file.fileno())
                try:
                    yield
                finally:
                    held.discard(file.fileno())
                    if remove:
                        path.unlink(missing_ok=True)
                return


@dataclass(frozen=True)
class Change:
    """A change of the machine: the path that is there once it is made, and the commands that make and undo it."""

    path: Path
    make: tuple[str, ...]
    undo: tuple[str, ...]


class SharedSettings:
    """What labs change on the whole machine: the first one does it, the last one puts it back.

    What was found is kept in :data:`MACHINE`, which a reboot empties as it resets the settings.
    """

    def __init__(self, lab: str, folder: Path = MACHINE) -> None:
        self.lab = lab
        self.folder = folder

    def hold(self, values: Mapping[Path, str], folders: Iterable[Path] = ()) -> None:
        """Set files of /proc/sys until :meth:`release`; what is there now is stored before it changes.

        Args:
            values: the wanted value by file.
            folders: folders that tools will make; those absent now are removed when they are empty again.
        """
        with locked(self.folder / "lock", wait=True):
            found = self._read()
            for path in values:
                found["values"].setdefault(str(path), {"found": path.read_text("utf-8").strip(), "labs": []})
            for path in folders:
                if not path.exists() or str(path) in found["folders"]:
                    found["folders"].setdefault(str(path), {"labs": []})
            mine = {*map(str, values), *map(str, folders)}
            for name, entry in [*found["values"].items(), *found["folders"].items()]:
                if name in mine:
                    entry["labs"] = sorted({*entry["labs"], self.lab})
            write_json(self.folder / FOUND, found)
            for path, value in values.items():
                path.write_text(value, encoding="utf-8")

    def make(self, *changes: Change) -> None:
        """Make changes until :meth:`release`, each but where it is there already and not by a lab."""
        with locked(self.folder / "lock", wait=True):
            found = self._read()
            for change in changes:
                new = {"undo": change.undo, "labs": [], "number": len(found["made"])}
                made = found["made"].get(str(change.path), new)
                if str(change.path) in found["made"] or not change.path.exists():
                    made["labs"] = sorted({*made["labs"], self.lab})
                    found["made"][str(change.path)] = made
                    write_json(self.folder / FOUND, found)
                    if not change.path.exists():
                        run(change.make)

    def release(self) -> None:
        """Put back what no other lab holds."""
        if not self.folder.is_dir():
            return
        with contextlib.suppress(LabError), locked(self.folder / NETWORK_LOCK, wait=False, remove=True):
            pass
        with locked(self.folder / "lock", wait=True):
            found = self._read()
            for entries, put_back in zip(found.values(), (_put_back, _remove_empty, _undo), strict=True):
                for name, entry in sorted(entries.items(), key=_age, reverse=True):
                    entry["labs"] = [lab for lab in entry["labs"] if lab != self.lab]
                    if not entry["labs"]:
                        put_back(Path(name), entry)
                        del entries[name]
            write_json(self.folder / FOUND, found)
            if not any(found.values()):
                (self.folder / FOUND).unlink()
                (self.folder / "lock").unlink()
        with contextlib.suppress(OSError):  # another lab uses it
            self.folder.rmdir()

    def _read(self) -> Found:
        found: Found = read_json(self.folder / FOUND, {})
        return {what: found.get(what, {}) for what in ("values", "folders", "made")}


def _age(item: tuple[str, Mapping[str, Any]]) -> tuple[int, str]:
    name, entry = item
    return entry.get("number", 0), name  # what is below a folder comes after it


def _put_back(path: Path, entry: Mapping[str, Any]) -> None:
    if path.exists():  # an interface may be gone
        path.write_text(entry["found"], encoding="utf-8")


def _remove_empty(path: Path, _entry: Mapping[str, Any]) -> None:
    if path.is_dir() and not any(path.iterdir()):
        unmount(path)  # `ip netns` mounts its folder on itself
        path.rmdir()


def _undo(path: Path, entry: Mapping[str, Any]) -> None:
    if path.exists():
        run(entry["undo"])
