"""Photos as short sequences: a window that drifts, turns and zooms over the picture, at times with a second piece
of the photo moving on its own in front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.lab.data.cache import Bytes, Planes

Floats = NDArray[np.float64]
_LEAST = 1.25  # photo samples per output sample and axis: less would blur by where samples fall
_MOST = 2.5
_MARGIN = 8  # photo samples that filters may reach beyond a window
_PHASE_BITS = 8  # positions are multiples of 1/256 sample
_PHASES = 1 << _PHASE_BITS


def least_side(size: int) -> int:
    """The shorter side that a photo must have for windows of `size`."""
    return int(np.ceil(_LEAST * size)) + 2 * _MARGIN


@dataclass(frozen=True, slots=True)
class Path:
    """A window's way over the photo, in photo luma samples: ``middle`` (T, 2) row and column, ``turn`` (T, 2, 2)
    from offsets in the window to offsets in the photo."""

    middle: Floats
    turn: Floats

    @property
    def scale(self) -> float:
        """Photo samples per window sample, the largest of all frames."""
        return float(np.sqrt(np.abs(np.linalg.det(self.turn))).max())


def photo_sequence(planes: Planes, rng: np.random.Generator, size: int, frames: int) -> Planes:
    """(T, size, size) luma and (T, size/2, size/2) chroma of a moving window; each side of the photo must be at
    least `least_side`. Every sixth sequence stands still."""
    height, width = planes[0].shape[-2:]
    path = _path(rng, (height, width), size, frames)
    background = [_window(planes, path, t, (0, 0), (size, size), size) for t in range(frames)]
    y, u, v = (np.stack(part) for part in zip(*background, strict=True))
    if rng.random() < 0.4:
        _add_patch(planes, (y, u, v), path, rng)
    return y, u, v


def _path(rng: np.random.Generator, shape: tuple[int, int], size: int, frames: int) -> Path:
    """A smooth random path: steady motion, plus a slow swing, small enough for the photo."""
    time = np.arange(frames) - (frames - 1) / 2
    room = (min(shape) - 2 * _MARGIN) / size
    zoom = rng.uniform(_LEAST, min(_MOST, max(_LEAST, 0.85 * room)))
    direction = rng.normal(0, 1, 2)
    speed = 0.0 if rng.random() < 1 / 6 else np.exp(rng.uniform(np.log(0.1), np.log(8.0)))
    swing = np.sin(time * rng.uniform(0.2, 1.2) + rng.uniform(0, 2 * np.pi))[:, None] * rng.normal(0, 0.5, 2)
    drift = speed * (direction / np.hypot(*direction) * time[:, None] + swing)
    moving = speed > 0
    angle = (rng.normal(0, 0.006) if moving and rng.random() < 0.5 else 0.0) * time
    growth = np.clip((rng.normal(0, 0.008) if moving and rng.random() < 0.5 else 0.0) * time, -0.2, 0.2)
    for less in (1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.03, 0.0):
        scale = (_LEAST + less * (zoom - _LEAST)) * np.exp(less * growth)
        sine, cosine = np.sin(less * angle) * scale, np.cos(less * angle) * scale
        turn = np.stack([np.stack([cosine, -sine], 1), np.stack([sine, cosine], 1)], 1)
        offsets = less * zoom * drift
        reach = np.abs(turn).sum(2) * (size / 2)  # how far the window's corners go from its middle
        low, high = (offsets - reach).min(0) - _MARGIN, (offsets + reach).max(0) + _MARGIN
        spare = np.array(shape) - (high - low)
        if (spare >= 0).all():
            return Path(rng.uniform(-low, spare - low) + offsets, turn)
    raise ValueError(f"a photo of {shape[1]}x{shape[0]} is too small for windows of {size}")


def _add_patch(planes: Planes, result: Planes, path: Path, rng: np.random.Generator) -> None:
    """Paste a moving ellipse of the photo, with its own velocity, over the frames in place."""
    frames, size = result[0].shape[:2]
    axes = rng.uniform(size * 0.08, size * 0.3, 2)
    start, velocity = rng.uniform(0.2 * size, 0.8 * size, 2), rng.normal(0, 1, 2) * rng.choice([0.5, 2.0, 6.0])
    reach = (axes * path.scale).max() + 8
    shape = np.array(planes[0].shape[-2:])
    texture = rng.uniform(np.minimum(reach, shape / 2), np.maximum(shape - reach, shape / 2))
    time = np.arange(frames) - (frames - 1) / 2
    centres = start + velocity * time[:, None]
    # The ellipse carries its piece of the photo along: the window's origin moves against the ellipse.
    own = Path(texture - np.einsum("tij,tj->ti", path.turn, centres - (size - 1) / 2), path.turn)
    for t, centre in enumerate(centres):
        low, high = (np.clip(2 * np.floor((centre + s * (axes + 2)) / 2), 0, size).astype(int) for s in (-1, 1))
        if (high <= low).any():
            continue
        pieces = _window(planes, own, t, (low[0], low[1]), (high[0] - low[0], high[1] - low[1]), size)
        rows, columns = ((np.arange(low[i], high[i]) - centre[i]) / axes[i] for i in (0, 1))
        share = np.clip((1 - np.hypot(rows[:, None], columns[None])) * axes.min() + 0.5, 0, 1)
        for part, piece, out in zip((1, 2, 2), pieces, result, strict=True):
            # What covers the four luma samples of a chroma sample covers it, on average.
            covered = share.reshape(share.shape[0] // part, part, -1, part).mean((1, 3))
            target = out[t, low[0] // part : high[0] // part, low[1] // part : high[1] // part]
            target[:] = np.rint(target + covered * (piece.astype(np.float64) - target)).astype(np.uint8)


def _window(
    planes: Planes, path: Path, t: int, corner: tuple[int, int], shape: tuple[int, int], size: int
) -> list[Bytes]:
    """Y, U and V of a rectangle (even corner and shape) of the size x size window at frame t of the path."""
    result = []
    for plane, part in zip(planes, (1, 2, 2), strict=True):
        # A chroma sample lies in the middle of its four luma samples, in the photo as in the window.
        offset = np.array(corner) + (part - 1) / 2 - (size - 1) / 2
        origin = (path.middle[t] + path.turn[t] @ offset - (part - 1) / 2) / part
        result.append(_resampled(plane[0], origin, path.turn[t], (shape[0] // part, shape[1] // part)))
    return result


def _resampled(plane: Bytes, origin: Floats, turn: Floats, shape: tuple[int, int]) -> Bytes:
    """plane at origin + turn @ (row, column), by Catmull-Rom widened to the scale: first along photo rows, then
    along window columns. Source: Catmull and Smith, 3-D transformations of images in scanline order (1980)."""
    (a, b), (c, d) = turn
    scale = max(1.0, float(np.sqrt(abs(a * d - b * c))))
    weights = _kernel(scale)
    taps = weights.shape[0]
    columns = np.arange(shape[1])
    y = origin[0] + a * np.arange(shape[0])[:, None] + b * columns
    low = int(np.clip(np.floor(y.min()) - taps // 2, 0, plane.shape[0] - taps))
    high = int(np.clip(np.ceil(y.max()) + taps // 2 + 1, low + taps, plane.shape[0]))
    photo_rows = np.arange(low, high)[:, None]
    x = origin[1] + c * ((photo_rows - origin[0] - b * columns) / a) + d * columns
    slanted = _along(plane, x, photo_rows * plane.shape[1], 1, plane.shape[1], weights)
    values = _along(slanted, y - low, columns, shape[1], high - low, weights)
    result: Bytes = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return result


def _along(
    samples: Bytes | NDArray[np.float32],
    position: Floats,
    base: NDArray[np.int64],
    stride: int,
    length: int,
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Filter at `position` along one axis of `samples`: sample i of it stands at flat index base + i * stride."""
    taps = weights.shape[0]
    fixed = np.rint(position * _PHASES).astype(np.int64)
    whole, phase = fixed >> _PHASE_BITS, fixed & (_PHASES - 1)
    index = base + np.clip(whole - taps // 2 + 1, 0, length - taps) * stride
    flat, total = samples.ravel(), np.zeros(position.shape, np.float32)
    for k in range(taps):
        total += weights[k].take(phase) * flat.take(index)
        index += stride
    return total


def _kernel(scale: float) -> NDArray[np.float32]:
    """Weights (taps, phases) of the samples from taps / 2 - 1 before a position on; they sum to 1."""
    half = int(np.ceil(2 * scale))
    distance = np.abs(np.arange(_PHASES) / _PHASES - np.arange(1 - half, half + 1)[:, None]) / scale
    near = 1 + distance**2 * (1.5 * distance - 2.5)
    far = 2 + distance * (distance * (2.5 - 0.5 * distance) - 4)
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return (weights / weights.sum(0)).astype(np.float32)
