"""Wide integers as 8 bits for the networks: fine near zero, coarse far away. See docs/format/arithmetic.md.

Values have 6 fractional bits. The magnitudes that a code can stand for begin with ``e[0] = 0`` and grow by
``e[c+1] = e[c] + 4 + (47 * e[c] >> 10)``: a sixteenth of a step near zero, a twentieth of the value far from it, 358
steps at most. Code 128 is zero; code 0 is not used by `compand` and stands for the same as 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quaver.runtime import native

FRACTION = 6  # fractional bits of companded values
ZERO = 128
LEVELS = 128


def _magnitudes() -> NDArray[np.int32]:
    values = [0]
    while len(values) < LEVELS:
        values.append(values[-1] + 4 + (47 * values[-1] >> 10))
    return np.array(values, np.int32)


MAGNITUDES = _magnitudes()  # what a distance of 0..127 from code 128 stands for
LARGEST = int(MAGNITUDES[-1])


def _nearest() -> NDArray[np.int32]:
    """For each magnitude 0..LARGEST the nearest of MAGNITUDES; ties go up."""
    middles = (MAGNITUDES[:-1] + MAGNITUDES[1:] + 1) >> 1
    return np.searchsorted(middles, np.arange(LARGEST + 1), side="right").astype(np.int32)


NEAREST = _nearest()
_COMPANDED = np.concatenate([128 - NEAREST[:0:-1].astype(np.int32), 128 + NEAREST.astype(np.int32)]).astype(np.uint8)
_EXPANDED = np.concatenate([[-LARGEST], -MAGNITUDES[:0:-1], MAGNITUDES]).astype(np.int32)


def compand(values: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Values (channels, ...) with 6 fractional bits to codes 1..255; beyond LARGEST they saturate."""
    if native.kernels is not None and values.ndim > 1:
        return compand_steps(values, np.full(len(values), 1 << FRACTION, np.int32))
    return _COMPANDED[np.clip(values, -LARGEST, LARGEST) + LARGEST]


def compand_steps(values: NDArray[np.int32], steps: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Integers (channels, ...) as multiples of steps (channels, 1, ...), rounded to 6 fractional bits, to codes."""
    if native.kernels is not None:
        flat = np.ascontiguousarray(values, np.int32).reshape(len(values), -1)
        codes = np.empty(flat.shape, np.uint8)
        native.kernels.compand_steps(flat, np.ascontiguousarray(steps, np.int32).reshape(-1), _COMPANDED, codes)
        return codes.reshape(values.shape)
    return compand((64 * values + (steps >> 1)) // steps)


def expand(codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Codes to values with 6 fractional bits."""
    return _EXPANDED[codes]
