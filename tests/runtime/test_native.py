"""Every kernel in C equals the NumPy function that defines it, bit for bit, and refuses what is not legal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from quaver.runtime import native
from quaver.runtime.native.protocol import Kernels

from .native_cases import CASES, Case

SIZES = (16, 16), (16, 48), (80, 16), (48, 80), (144, 176), (368, 640)

built = pytest.mark.skipif(native.kernels is None, reason="the extension is not built")


@pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler")
@pytest.mark.skipif(os.environ.get("QUAVER_NATIVE") == "0", reason="kernels are turned off")
def test_the_extension_is_built_where_there_is_a_compiler() -> None:
    assert native.kernels is not None, "install again: pip install -e ."


@built
@pytest.mark.parametrize("extreme", [False, True], ids=["plain", "extreme"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_bits(case: Case, extreme: bool) -> None:
    for seed, (height, width) in enumerate(SIZES[: 5 if case.name == "search_motion" else 6]):
        arguments = case.make(np.random.default_rng(seed), height, width, extreme)
        got = list(_flat(case.run(*arguments)))
        with native.without_kernels():
            wanted = list(_flat(case.run(*arguments)))
        assert len(got) == len(wanted)
        for a, b in zip(got, wanted, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape, f"{height}x{width}"
            np.testing.assert_array_equal(a, b, f"{case.name}, {height}x{width}, seed {seed}")


@built
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_threads_do_not_disturb_each_other(case: Case) -> None:
    arguments = [case.make(np.random.default_rng(seed), 48, 64, False) for seed in range(4)]
    alone = [list(_flat(case.run(*given))) for given in arguments]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda given: list(_flat(case.run(*given))), arguments)
        for one, other in zip(alone, together, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@built
def test_what_is_not_legal_is_refused() -> None:
    kernels: Any = native.kernels
    plane, field, taps = np.zeros((16, 16), np.uint8), np.zeros((2, 2, 2), np.int16), np.zeros((4, 8), np.int16)
    out = np.zeros((16, 16), np.int32)
    kernels.compensate_plane(plane, field, taps, out)
    frozen = out.copy()
    frozen.flags.writeable = False
    for arguments, error in (
        ((plane, field, taps), TypeError),
        ((plane, field, taps, [0]), TypeError),
        ((plane.astype(np.int8), field, taps, out), TypeError),
        ((plane, field.astype(">i2"), taps, out), TypeError),
        ((plane[:8], field, taps, out), ValueError),
        ((plane[:, ::2], field, taps, out), (ValueError, BufferError)),
        ((plane, field[:, :, :1].copy(), taps, out), ValueError),
        ((plane, field, taps + np.int16(17), out), ValueError),
        ((plane, field, taps.T.copy()[:4], out), ValueError),
        ((plane, field, taps, out[:15]), ValueError),
        ((plane, field, taps, frozen), (ValueError, BufferError)),
        ((plane[:0], field[:0], taps, out[:0]), ValueError),
    ):
        with pytest.raises(error):
            kernels.compensate_plane(*arguments)
    for margin in (-1, 1 << 40):
        with pytest.raises((ValueError, OverflowError)):
            kernels.phase_planes(plane, margin, taps, np.zeros((16, 16, 16), np.uint8))
    with pytest.raises(ValueError, match="2\\*\\*15"):
        kernels.inverse_transform(
            np.zeros((16, 2, 2), np.int32), np.full((16, 16), 1 << 20, np.int32), out[:8, :8].copy()
        )


def test_the_environment_turns_kernels_off() -> None:
    code = "from quaver.runtime import native; print(native.kernels)"
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, "QUAVER_NATIVE": "0"}, capture_output=True)
    assert run.stdout.strip() == b"None"


def test_an_older_build_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name in vars(Kernels) if not name.startswith("_")]
    module: Any = ModuleType("_kernels")
    for name in names:
        setattr(module, name, lambda *arguments: None)
    assert native.usable(module) is module and capsys.readouterr().err == ""
    del module.saved_error
    assert native.usable(module) is None
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "saved_error is missing" in lines[0] and "NumPy is used" in lines[0]
    assert {"phase_planes", "saved_error"} <= set(names) and len(names) == 15


def test_numpy_does_the_work_of_an_older_build() -> None:
    """The whole import, with a stand-in for the extension."""
    code = (
        "import sys, types; sys.modules['quaver.runtime.native._kernels'] = types.ModuleType('_kernels')\n"
        "import numpy as np; from quaver.runtime import native, transform\n"
        "planes = tuple(np.zeros((side, side), np.int32) for side in (16, 8, 8))\n"
        "print(native.kernels, transform.forward(planes).shape)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.startswith("None (") and run.stderr.count("\n") == 1 and "warning" in run.stderr


def _flat(result: Any) -> Iterator[np.ndarray]:
    if isinstance(result, np.ndarray):
        yield result
    else:
        for part in result:
            yield from _flat(part)
