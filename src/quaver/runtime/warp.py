"""Fixed-point motion compensation: one vector per 8x8 luma block. See docs/format/arithmetic.md, Motion-compensated
prediction.

The filters are those of H.265 (tables 8-11 and 8-12): 8 taps at quarter samples for luma, 4 taps at eighth
samples for chroma, gain 64 in each direction. Both directions are summed exactly and rounded once, to samples
with 4 fractional bits. Sums stay below 2**22, so float32 products hold them exactly in any order.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from quaver.runtime import native
from quaver.runtime.picture import Picture, Plane
from quaver.runtime.transform import Planes

VECTOR_LIMIT = 1023  # quarter samples, each component

LUMA_TAPS = np.array(
    [
        [0, 0, 0, 64, 0, 0, 0, 0],
        [-1, 4, -10, 58, 17, -5, 1, 0],
        [-1, 4, -11, 40, 40, -11, 4, -1],
        [0, 1, -5, 17, 58, -10, 4, -1],
    ],
    np.int16,
)
CHROMA_TAPS = np.array(
    [
        [0, 64, 0, 0],
        [-2, 58, 10, -2],
        [-4, 54, 16, -2],
        [-6, 46, 28, -4],
        [-4, 36, 36, -4],
        [-4, 28, 46, -6],
        [-2, 16, 54, -4],
        [-2, 10, 58, -2],
    ],
    np.int16,
)


def compensate(reference: Picture, vectors: NDArray[np.int16]) -> Planes:
    """Predict Y, U, V (int32, 4 fractional bits) from `reference` by `vectors` (h8, w8, 2), (dx, dy) in
    quarter luma samples. The reference continues beyond its edges by replication without limit."""
    return (
        _predict(reference.y, vectors, 8, LUMA_TAPS),
        _predict(reference.u, vectors, 4, CHROMA_TAPS),
        _predict(reference.v, vectors, 4, CHROMA_TAPS),
    )


def _predict(plane: Plane, vectors: NDArray[np.int16], size: int, taps: NDArray[np.int16]) -> NDArray[np.int32]:
    if native.kernels is not None:
        predicted = np.empty(plane.shape, np.int32)
        native.kernels.compensate_plane(np.ascontiguousarray(plane), np.ascontiguousarray(vectors), taps, predicted)
        return predicted
    phases, length = taps.shape
    before, margin = length // 2 - 1, 2 * size + length
    rows, columns = vectors.shape[:2]
    height, width = plane.shape
    dx, dy = vectors[..., 0].astype(np.int32).ravel(), vectors[..., 1].astype(np.int32).ravel()
    block_y, block_x = np.divmod(np.arange(rows * columns), columns)
    # Beyond `2 * size` outside the picture every sample equals the edge: clamping changes nothing.
    top = np.clip(block_y * size + dy // phases, -2 * size, height + size) + margin - before
    left = np.clip(block_x * size + dx // phases, -2 * size, width + size) + margin - before
    window = size + length - 1
    patches = sliding_window_view(np.pad(plane, margin, mode="edge"), (window, window))
    result = np.empty((rows * columns, size, size), np.int32)
    phase = (dy % phases) * phases + dx % phases
    for key in np.unique(phase):
        chosen = np.flatnonzero(phase == key)
        vertical, horizontal = divmod(int(key), phases)
        patch = patches[top[chosen], left[chosen]]
        if key == 0:
            result[chosen] = patch[:, before : before + size, before : before + size].astype(np.int32) << 4
            continue
        summed = _band(taps[vertical], size) @ (patch.astype(np.float32) @ _band(taps[horizontal], size).T)
        result[chosen] = (summed.astype(np.int32) + 128) >> 8
    return result.reshape(rows, columns, size, size).transpose(0, 2, 1, 3).reshape(height, width)


def _band(taps: NDArray[np.int16], size: int) -> NDArray[np.float32]:
    """(size, size + taps - 1): row i holds the filter that makes output sample i."""
    matrix = np.zeros((size, size + len(taps) - 1), np.float32)
    for row in range(size):
        matrix[row, row : row + len(taps)] = taps
    return matrix
