"""The motion search's start: full search at quarter resolution."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from quaver.codec.motion_rounds import Vectors, with_edges
from quaver.runtime import native
from quaver.runtime.picture import Plane

_RANGE = 12  # samples at quarter resolution: 48 at full
_LENGTH = 64  # sixteenths of an absolute difference, added for each sample of a vector: flat areas stay at rest


def coarse_search(current: Plane, reference: Plane) -> Vectors:
    """Vectors (h8, w8, 2) in luma samples by absolute differences over 24x24 luma around each block; of equal costs
    the shortest wins."""
    small, past = _shrink(current), np.pad(_shrink(reference), _RANGE, mode="edge")
    if native.kernels is not None:
        numbers = np.empty((small.shape[0] // 2, small.shape[1] // 2), np.int16)
        native.kernels.coarse_search(small, past, _RANGE, _order()[0], numbers)
    else:
        numbers = _search(small, past)
    down, right = np.divmod(numbers, np.int16(2 * _RANGE + 1))
    best: Vectors = np.stack([4 * (right - _RANGE), 4 * (down - _RANGE)], axis=-1).astype(np.int16)
    return best


def _search(small: NDArray[np.int16], past: NDArray[np.int16]) -> NDArray[np.int16]:
    """Number of each block's displacement: (2 _RANGE + 1) * (down + _RANGE) + right + _RANGE."""
    height, width = small.shape
    sides = 2 * _RANGE + 1
    sums = np.empty((sides, sides, height // 2, width // 2), np.int32)
    for down in range(sides):
        # One displacement down and all displacements to the right: (h, displacements, w).
        shifted = sliding_window_view(past[down : down + height], width, axis=1)
        difference = np.abs(small[:, None] - shifted)
        cells = difference[0::2] + difference[1::2]
        around = with_edges((cells[..., 0::2] + cells[..., 1::2]).transpose(0, 2, 1)).astype(np.int32)
        three = around[:-2] + around[1:-1] + around[2:]
        sums[down] = (three[:, :-2] + three[:, 1:-1] + three[:, 2:]).transpose(2, 0, 1)
    order, lengths = _order()
    costs = sums.reshape(sides * sides, height // 2, width // 2) + _LENGTH * lengths[:, None, None]
    numbers: NDArray[np.int16] = order[costs[order].argmin(0)]
    return numbers


@cache
def _order() -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Displacements as they are tried, shortest first, and their lengths by number."""
    sides = np.abs(np.arange(-_RANGE, _RANGE + 1, dtype=np.int32))
    lengths = np.add.outer(sides, sides).ravel()
    return np.argsort(lengths, kind="stable").astype(np.int16), lengths


def _shrink(plane: Plane) -> NDArray[np.int16]:
    """Sums of 4x4 samples: means in sixteenths, 0..4080."""
    rows = np.ascontiguousarray(plane).reshape(plane.shape[0] // 4, 4, -1).sum(1, dtype=np.int16)
    return rows[:, 0::4] + rows[:, 1::4] + rows[:, 2::4] + rows[:, 3::4]
