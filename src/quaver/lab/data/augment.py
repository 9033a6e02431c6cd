"""Small changes to crops that make little footage go further: shrinking and tone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quaver.lab.data.cache import Bytes, Planes

_MIDDLE = 126  # of video luma, 16 to 235


def shrink(planes: Planes, size: int) -> Planes:
    """Area averages: luma (T, n, n) with size <= n <= 2 size to (T, size, size), chroma likewise at half."""
    y, u, v = planes
    return _averaged(y, size), _averaged(u, size // 2), _averaged(v, size // 2)


def _averaged(plane: Bytes, size: int) -> Bytes:
    first, weights = _coverage(plane.shape[-1], size)
    rows = sum(plane[:, first + k] * w[:, None] for k, w in enumerate(weights))
    both = sum(np.take(rows, first + k, axis=2) * w for k, w in enumerate(weights))
    result: Bytes = np.rint(both).astype(np.uint8)
    return result


def _coverage(n: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each of `size` equal parts of n samples: its first of three samples, and the shares (3, size) of it
    that they cover. The first is moved back at the end so that three samples exist."""
    edges = np.arange(size + 1) * n / size
    first = np.minimum(np.floor(edges[:-1]).astype(np.intp), n - 3)
    taps = first + np.arange(3)[:, None]
    covered = np.minimum(taps + 1, edges[1:]) - np.maximum(taps, edges[:-1])
    return first, (np.maximum(covered, 0) * size / n).astype(np.float32)


def change_tone(planes: Planes, rng: np.random.Generator) -> Planes:
    """The same light change of contrast, brightness and saturation for all frames."""
    contrast, brightness, saturation = rng.uniform(0.75, 1.15), rng.uniform(-12, 12), rng.uniform(0.6, 1.2)
    luma, chroma = _table(contrast, _MIDDLE, brightness), _table(saturation, 128, 0.0)
    y, u, v = planes
    return luma[y], chroma[u], chroma[v]


def _table(gain: float, middle: int, offset: float) -> Bytes:
    values = (np.arange(256) - middle) * gain + middle + offset
    table: Bytes = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return table
