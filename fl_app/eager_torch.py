"""torch without its compiler, as long as nobody compiles.

The first optimizer of a process imports `torch._dynamo`, which takes as long again as importing torch, and 70 MB, to
mark functions that a compiler should leave alone, and to tell it of each step; timm marks functions, too, and
torchvision asks it a question about detection models. Without a compiler all of this does nothing. A module in its
place answers, and becomes the real one when it is asked for anything else. The app's processes use it, and fast_rounds'
warm one, each with a copy of this file of its own.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"
UTILS = f"{NAME}.utils"


class _Instead(ModuleType):
    """In the place of a module: has what its subclasses have, and of the real one what it is asked for."""

    def __getattr__(self, name: str) -> Any:
        # inspect asks every module for its file, and an import whether this is a package.
        if name.startswith("__") and (self.__name__, name) != (NAME, "__path__"):
            raise AttributeError(name)
        return getattr(self.real(), name)

    def real(self) -> Any:
        """Put the real modules in their places; return this one's."""
        if isinstance(sys.modules.get(NAME), _Dynamo):
            for name in (NAME, UTILS):
                del sys.modules[name]
            del sys.modules["torch"]._dynamo
        return importlib.import_module(self.__name__)


class _Dynamo(_Instead):
    def __init__(self) -> None:
        super().__init__(NAME)

    def disable(self, fn: Any = None, recursive: bool = True, **given: Any) -> Any:
        """Return a function that calls ``fn``, and is marked as the real one marks it once there is a compiler."""
        if fn is None:
            return functools.partial(self.disable, recursive=recursive, **given)
        if not inspect.isfunction(fn):
            return self.real().disable(fn, recursive, **given)
        marked = None

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal marked
            if marked is None:
                there: Any = sys.modules[NAME]
                if isinstance(there, _Dynamo):
                    return fn(*args, **kwargs)
                marked = there.disable(fn, recursive, **given)
            return marked(*args, **kwargs)

        return call

    def graph_break(self, *_: Any, **__: Any) -> None:
        """Do nothing, as the real one where nothing is compiled."""


class _Utils(_Instead):
    def __init__(self) -> None:
        super().__init__(UTILS)

    def is_compile_supported(self, *asked: Any) -> Any:
        """Ask the real one, not before it is called: torchvision takes it at its import."""
        return self.real().is_compile_supported(*asked)


def without_compiler() -> None:
    """Leave `torch._dynamo` out, where torch is imported and that is not."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and NAME not in sys.modules:
        sys.modules[NAME] = torch._dynamo = _Dynamo()
        sys.modules[UTILS] = _Utils()
