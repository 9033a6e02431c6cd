"""Where scenes begin inside a clip, so that no training sequence crosses a cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 6.0
_OUTSTANDING = 2.5
_CERTAIN = 50.0


def thumbnail(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means of 8x8 blocks, (H // 8, W // 8)."""
    rows, columns = luma.shape[0] // 8, luma.shape[1] // 8
    blocks = luma[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8)
    means: NDArray[np.float32] = blocks.mean((1, 3), dtype=np.float32)
    return means


def scene_starts(differences: Sequence[float]) -> tuple[int, ...]:
    """First frames of the scenes, 0 among them.

    ``differences[t]``: mean absolute difference between the thumbnails of frames t and t + 1. A cut stands out
    from its neighbours in time; fast motion, which training needs most, changes as much frame after frame.
    """
    padded = np.array([0.0, *differences, 0.0])
    here, around = padded[1:-1], np.maximum(padded[:-2], padded[2:])
    cuts = ((here > _SMALLEST) & (here > _OUTSTANDING * around)) | (here > _CERTAIN)
    return (0, *(int(t) + 1 for t in np.flatnonzero(cuts)))
