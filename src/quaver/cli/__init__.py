"""The command line: one file per command."""

import os

# NumPy's matrix products here are small: a second BLAS thread costs more than it brings, most of all on a busy
# machine. Set before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from quaver.cli.app import main

__all__ = ["main"]
