"""Photos as short sequences: a window that drifts, turns and zooms over the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Planes = tuple[Bytes, Bytes, Bytes]


def photo_sequence(planes: Planes, rng: np.random.Generator, size: int, frames: int) -> Planes | None:
    """(T, size, size) luma and (T, size/2, size/2) chroma; None where the photo is too small for its path.

    Luma position p of the window shows the photo at centre + A(t) p, bicubic; chroma follows with its siting.
    """
    height, width = planes[0].shape[-2:]
    speed = rng.normal(0, 1, 2) * rng.choice([0.3, 2.0, 5.0])
    spin, growth = rng.normal(0, 0.004), rng.normal(0, 0.004)
    reach = size * 0.75 + np.abs(speed).max() * frames
    if 2 * reach >= min(height, width):
        speed, spin, growth, reach = speed * 0.2, 0.0, 0.0, size * 0.5 + np.abs(speed).max() * 0.2 * frames + 3
    if 2 * reach >= min(height, width):
        return None
    centre = rng.uniform(reach, [height - reach, width - reach])
    result: tuple[list[Bytes], ...] = ([], [], [])
    for t in range(frames):
        middle = centre + speed * (t - frames / 2)
        angle, scale = spin * t, 1 + growth * t
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        for out, plane, part in zip(result, planes, (1, 2, 2), strict=True):
            out.append(_sample(plane[0], middle / part + (1 / part - 1) / 2, turn, size // part))
    y, u, v = (np.stack(part) for part in result)
    return y, u, v


def _sample(plane: Bytes, middle: NDArray[np.float64], turn: NDArray[np.float64], size: int) -> Bytes:
    """A size x size window around `middle` (row, column), turned, by Catmull-Rom interpolation."""
    axis = np.arange(size) - (size - 1) / 2
    rows, columns = np.meshgrid(axis, axis, indexing="ij")
    y = middle[0] + turn[0, 0] * rows + turn[0, 1] * columns
    x = middle[1] + turn[1, 0] * rows + turn[1, 1] * columns
    whole_y, whole_x = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    weights_y, weights_x = _catmull_rom(y - whole_y), _catmull_rom(x - whole_x)
    total = np.zeros(y.shape)
    for i in range(4):
        r = np.clip(whole_y + i - 1, 0, plane.shape[0] - 1)
        for j in range(4):
            c = np.clip(whole_x + j - 1, 0, plane.shape[1] - 1)
            total += weights_y[i] * weights_x[j] * plane[r, c]
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


def _catmull_rom(f: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Weights of the samples at -1, 0, 1, 2 for a position f in [0, 1)."""
    return [
        f * (-0.5 + f * (1 - 0.5 * f)),
        1 + f * f * (1.5 * f - 2.5),
        f * (0.5 + f * (2 - 1.5 * f)),
        f * f * (0.5 * f - 0.5),
    ]
