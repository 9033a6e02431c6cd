"""The command line: one file per command."""

import os

# NumPy's matrix products here are small: a second BLAS thread costs more than it brings, most of all on a busy
# machine. Set before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """`quaver.cli.app.main`, which is imported here so that Ctrl-C is quiet from the start."""
    try:
        from quaver.cli.app import main as run
    except KeyboardInterrupt:
        print("quaver: error: interrupted", file=sys.stderr)
        sys.exit(130)
    run(arguments)
