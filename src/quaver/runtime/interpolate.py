"""All sixteen quarter-sample phases of a picture at once, rounded to 8 bits, for motion search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quaver.runtime import native
from quaver.runtime.warp import LUMA_TAPS


def phase_planes(reference: NDArray[np.uint8], margin: int) -> NDArray[np.uint8]:
    """Interpolated planes (16, H + 2 margin, W + 2 margin) of `reference` (H, W), replicated by `margin`.

    Plane ``4 * py + px`` holds at (margin + y, margin + x) the prediction of `quaver.runtime.warp` at
    (y + py/4, x + px/4), rounded to 8 bits.
    """
    height, width = reference.shape[0] + 2 * margin, reference.shape[1] + 2 * margin
    planes = np.empty((16, height, width), np.uint8)
    if native.kernels is not None:
        native.kernels.phase_planes(np.ascontiguousarray(reference), margin, LUMA_TAPS, planes)
        return planes
    extended = np.pad(reference, margin + 4, mode="edge").astype(np.float32)
    for px in range(4):
        row_filtered = _filter(extended, px, 1, width)
        for py in range(4):
            sums = _filter(row_filtered, py, 0, height)
            q4 = np.floor((sums + 128) * np.float32(1 / 256))
            planes[4 * py + px] = np.clip(np.floor((q4 + 8) * np.float32(1 / 16)), 0, 255)
    return planes


def _filter(samples: NDArray[np.float32], phase: int, axis: int, length: int) -> NDArray[np.float32]:
    """One direction of the separable filter; `length` outputs that begin 4 samples into `samples`."""
    result = None
    for tap, weight in enumerate(LUMA_TAPS[phase]):
        if weight == 0:
            continue
        start = 4 + tap - 3
        part = samples[start : start + length] if axis == 0 else samples[:, start : start + length]
        term = part * np.float32(weight)
        result = term if result is None else result + term
    assert result is not None
    return result
