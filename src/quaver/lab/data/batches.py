"""Batches for training: a pure function of (seed, step), so that a resumed run sees what it would have seen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.errors import UsageError
from quaver.lab.data.augment import change_tone, shrink
from quaver.lab.data.cache import Bytes, Clip, ClipCache, Planes
from quaver.lab.data.motion import least_side, photo_sequence
from quaver.runtime.model import QUALITIES

# How often what happens.
_PHOTO = 0.15  # where there are videos too; photos are pristine, but their motion is made up
_HALF_RATE = 0.25
_REVERSED = 0.3
_FLIPPED = 0.5
_SHRUNK = 0.3
_TONE = 0.25
_FACTORS = (4 / 3, 3 / 2, 2.0)  # of shrinking: the area averages blur evenly


@dataclass(frozen=True, slots=True)
class Batch:
    """y (B, T, S, S), u and v (B, T, S/2, S/2), uint8; quality (B,) int64, 0 to 63."""

    y: Bytes
    u: Bytes
    v: Bytes
    quality: NDArray[np.int64]


def make_batch(cache: ClipCache, seed: int, step: int, size: int, batch: int, frames: int) -> Batch:
    """`batch` sequences of `frames` crops of size x size (a multiple of 16). Steps may be negative.

    Example i depends on nothing but (seed, step, i), size, frames and the clips. Raises UsageError where no clip
    is long and large enough.
    """
    if size < 16 or size % 16 or batch < 1 or frames < 1:
        raise UsageError(f"{batch} x {frames} crops of {size} cannot be made: sizes are multiples of 16, counts >= 1")
    groups = _groups(cache, size, frames)
    half = size // 2
    shapes = (batch, frames, size, size), *((batch, frames, half, half),) * 2
    y, u, v = (np.empty(shape, np.uint8) for shape in shapes)
    quality = np.empty(batch, np.int64)
    for i in range(batch):
        rng = np.random.default_rng([seed & 0xFFFFFFFF, step & 0xFFFFFFFF, i])
        clips = groups[_weighted([weight for weight, _ in groups], rng)][1]
        clip = clips[_weighted([np.log1p(clip.frames) for clip in clips], rng)]
        y[i], u[i], v[i] = _sequence(clip, rng, size, frames)
        quality[i] = rng.integers(0, QUALITIES)
    return Batch(y, u, v, quality)


def largest_size(cache: ClipCache, frames: int, limit: int) -> int:
    """The largest crop, a multiple of 16 up to `limit`, of which some clip holds `frames` frames; 16 if none does."""
    sizes = range(limit - limit % 16, 16, -16)
    return next((size for size in sizes if any(_fits(clip, size, frames) for clip in cache.clips)), 16)


def _fits(clip: Clip, size: int, frames: int) -> bool:
    side = min(clip.height, clip.width)
    if clip.photo:
        return side >= least_side(size)
    return side >= size and max(clip.scene_lengths) >= frames


def _groups(cache: ClipCache, size: int, frames: int) -> list[tuple[float, list[Clip]]]:
    """Clips that fit, by source, with the sources' weights: the logarithm of their frames, so that long ones do
    not drown the rest. All photos are one group with its own share."""
    sources: dict[str, list[Clip]] = defaultdict(list)
    photos: list[Clip] = []
    for clip in cache.clips:
        if _fits(clip, size, frames):
            (photos if clip.photo else sources[clip.source]).append(clip)
    groups = [(float(np.log1p(sum(clip.frames for clip in clips))), clips) for clips in sources.values()]
    if photos:
        rest = sum(weight for weight, _ in groups)
        groups.append((rest * _PHOTO / (1 - _PHOTO) or 1.0, photos))
    if not groups:
        raise UsageError(f"no clip holds {frames} frames of {size}x{size} without a scene cut")
    return groups


def _weighted(weights: list[float], rng: np.random.Generator) -> int:
    """A random index, each as likely as its weight."""
    edges = np.cumsum(weights)
    return min(int(np.searchsorted(edges, rng.random() * edges[-1], "right")), len(weights) - 1)


def _sequence(clip: Clip, rng: np.random.Generator, size: int, frames: int) -> Planes:
    """One random sequence of a clip; copies nothing but what it returns."""
    planes = photo_sequence(clip.planes(), rng, size, frames) if clip.photo else _crop(clip, rng, size, frames)
    if rng.random() < _FLIPPED:
        y, u, v = planes
        planes = y[..., ::-1], u[..., ::-1], v[..., ::-1]
    return change_tone(planes, rng) if rng.random() < _TONE else planes


def _crop(clip: Clip, rng: np.random.Generator, size: int, frames: int) -> Planes:
    """A window that stands still over successive frames, or every second frame, of one scene."""
    stride = 2 if rng.random() < _HALF_RATE and max(clip.scene_lengths) >= 2 * frames - 1 else 1
    span = (frames - 1) * stride + 1
    starts = [
        scene + t
        for scene, length in zip(clip.scenes, clip.scene_lengths, strict=True)
        for t in range(length - span + 1)
    ]
    start = starts[rng.integers(len(starts))]
    times = slice(start, start + span, stride)
    factors = [factor for factor in _FACTORS if _window(size, factor) <= min(clip.height, clip.width)]
    shrunk = bool(factors) and rng.random() < _SHRUNK
    window = _window(size, factors[rng.integers(len(factors))]) if shrunk else size
    top, left = (2 * int(rng.integers(0, (side - window) // 2 + 1)) for side in (clip.height, clip.width))
    y, u, v = (
        plane[times, top // part : (top + window) // part, left // part : (left + window) // part]
        for plane, part in zip(clip.planes(), (1, 2, 2), strict=True)
    )
    if rng.random() < _REVERSED:
        y, u, v = y[::-1], u[::-1], v[::-1]
    return shrink((y, u, v), size) if shrunk else (y, u, v)


def _window(size: int, factor: float) -> int:
    """The even side of the source window of a crop shrunk by `factor`."""
    return 2 * round(size * factor / 2)
