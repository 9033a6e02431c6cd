"""Batches for training: a pure function of (seed, step), so that a resumed run sees what it would have seen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.errors import UsageError
from quaver.lab.data import motion
from quaver.lab.data.cache import Clip, ClipCache
from quaver.runtime.model import QUALITIES

Bytes = NDArray[np.uint8]
Planes = tuple[Bytes, Bytes, Bytes]
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Batch:
    """y (B, T, S, S), u and v (B, T, S/2, S/2), uint8; quality (B,) int64, 0 to 63."""

    y: Bytes
    u: Bytes
    v: Bytes
    quality: NDArray[np.int64]


def make_batch(cache: ClipCache, seed: int, step: int, size: int, batch: int, frames: int) -> Batch:
    """`batch` sequences of `frames` crops of size x size (a multiple of 16). Steps may be negative."""
    rng = np.random.default_rng([seed & 0xFFFFFFFF, step & 0xFFFFFFFF])
    by_source: dict[str, list[Clip]] = defaultdict(list)
    for clip in cache.clips:
        by_source["photos" if clip.photo else clip.source].append(clip)
    names = sorted(by_source)
    # Sources count by the logarithm of their frames: long ones should not drown the rest.
    weights = np.log1p([sum(clip.frames for clip in by_source[name]) for name in names])
    examples: list[Planes] = []
    for _ in range(_TRIES):
        clips = by_source[names[rng.choice(len(names), p=weights / weights.sum())]]
        example = _example(clips[rng.integers(len(clips))], rng, size, frames)
        if example is not None:
            examples.append(example)
        if len(examples) == batch:
            y, u, v = (np.stack(planes) for planes in zip(*examples, strict=True))
            return Batch(y, u, v, rng.integers(0, QUALITIES, batch))
    raise UsageError(f"no clip holds {frames} frames of {size}x{size} without a scene cut")


def _example(clip: Clip, rng: np.random.Generator, size: int, frames: int) -> Planes | None:
    """One random crop, flipped, reversed or thinned in time now and then; None where the clip is too small."""
    if min(clip.height, clip.width) < size:
        return None
    if clip.photo:
        return motion.photo_sequence(clip.planes(), rng, size, frames)
    stride = int(rng.integers(1, 3)) if rng.random() < 0.3 else 1
    span = (frames - 1) * stride + 1
    if clip.frames < span:
        return None
    start = int(rng.integers(0, clip.frames - span + 1))
    if any(start < cut < start + span for cut in clip.cuts):
        return None
    top, left = (2 * int(rng.integers(0, (side - size) // 2 + 1)) for side in (clip.height, clip.width))
    times = np.arange(start, start + span, stride)
    if rng.random() < 0.3:
        times = times[::-1]
    flipped = rng.random() < 0.5
    y, u, v = (
        plane[times, top // scale : (top + size) // scale, left // scale : (left + size) // scale]
        for plane, scale in zip(clip.planes(), (1, 2, 2), strict=True)
    )
    return (y[..., ::-1], u[..., ::-1], v[..., ::-1]) if flipped else (y, u, v)
