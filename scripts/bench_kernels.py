"""Time every kernel in C and the NumPy function that defines it on the same inputs, one thread, in milliseconds of CPU.

usage: bench_kernels.py [WIDTH HEIGHT]      (multiples of 16; default 640 368, which is 640x360 padded)
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np

from quaver.runtime import native
from runtime.native_cases import CASES

REPEATS = 7


def main() -> None:
    width, height = (int(a) for a in (sys.argv[1:3] or ("640", "368")))
    if native.kernels is None:
        sys.exit("the extension is not built: pip install -e .")
    print(f"{'milliseconds, ' + f'{width}x{height}':24}{'NumPy':>10}{'C':>10}{'ratio':>8}")
    for case in CASES:
        arguments = case.make(np.random.default_rng(0), height, width, False)
        fast = _milliseconds(lambda: case.run(*arguments))  # noqa: B023
        with native.without_kernels():
            slow = _milliseconds(lambda: case.run(*arguments))  # noqa: B023
        print(f"{case.name:24}{slow:10.2f}{fast:10.2f}{slow / fast:8.1f}")


def _milliseconds(work: Callable[[], Any]) -> float:
    """The least of a few runs, after one to fill caches."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return 1000 * min(times)


if __name__ == "__main__":
    main()
