"""Kernels in C, where the package was built with a compiler. `kernels` says, in this one place, whether they run.

NumPy functions stay the definition: each asks `native.kernels` and gives the same bits without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import cast

from quaver.runtime.native.protocol import Kernels

_NAMES = tuple(name for name in vars(Kernels) if not name.startswith("_"))


def _load() -> Kernels | None:
    if os.environ.get("QUAVER_NATIVE", "1") == "0":
        return None
    try:
        return usable(import_module("quaver.runtime.native._kernels"))
    except ImportError:  # not built, or not for this machine
        return None


def usable(module: ModuleType) -> Kernels | None:
    """The kernels of an extension. None, and a line on stderr, where it was built from older sources and lacks some:
    all of them or none, so that what runs is what was tested."""
    missing = [name for name in _NAMES if not callable(getattr(module, name, None))]
    if missing:
        reason = f"{module.__name__} was built from other sources ({missing[0]} is missing)"
        print(f"quaver: warning: {reason}; NumPy is used, slower; install again", file=sys.stderr)
        return None
    return cast("Kernels", module)


kernels = _load()


@contextmanager
def without_kernels() -> Iterator[None]:
    """Run NumPy's definitions instead, in every thread, for tests and `quaver verify`."""
    global kernels
    kept, kernels = kernels, None
    try:
        yield
    finally:
        kernels = kept
