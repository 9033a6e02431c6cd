"""Kernels in C, where the package was built with a compiler. `kernels` says, in this one place, whether they run.

NumPy functions stay the definition: each asks `native.kernels` and gives the same bits without it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from quaver.runtime.native.protocol import Kernels


def _load() -> Kernels | None:
    if os.environ.get("QUAVER_NATIVE", "1") == "0":
        return None
    try:
        return cast("Kernels", import_module("quaver.runtime.native._kernels"))
    except ImportError:  # not built, or not for this machine
        return None


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
