"""The optional extension in C; everything else about the package stands in pyproject.toml."""

import os
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("src/quaver/runtime/native")

# No -ffast-math and no contraction: the same results on every machine. No -march: kernels hold several versions.
GCC_FLAGS = ["-std=c11", "-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"]

setup(
    ext_modules=[
        Extension(
            "quaver.runtime.native._kernels",
            sorted(str(path) for path in NATIVE.glob("*.c")),
            depends=sorted(str(path) for path in NATIVE.glob("*.h")),
            extra_compile_args=["/O2"] if os.name == "nt" else GCC_FLAGS,
            py_limited_api=True,
            optional=True,  # without a compiler NumPy does the work
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
