"""The clips of an analysis: the same crops for every part, precision and lambda."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.analyse.adapter import Planes
from quaver.lab.data.cache import Clip, ClipCache

Bytes = NDArray[np.uint8]
SIDE = 16  # clips are cropped to multiples of it


@dataclass(frozen=True)
class ClipSet:
    """names: N; y (N, T, H, W), u and v (N, T, H/2, W/2), uint8."""

    names: tuple[str, ...]
    y: Bytes
    u: Bytes
    v: Bytes

    def __post_init__(self) -> None:
        count, frames, height, width = self.y.shape
        half = (count, frames, height // 2, width // 2)
        if not self.names or len(self.names) != count or self.u.shape != half or self.v.shape != half:
            raise UsageError(
                f"clips {self.y.shape}, {self.u.shape}, {self.v.shape}: one name each, 4:2:0, at least one"
            )
        if height % SIDE or width % SIDE:
            raise UsageError(f"clips of {width}x{height}: sides are multiples of {SIDE}")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def frames(self) -> int:
        return int(self.y.shape[1])

    @cached_property
    def hash(self) -> str:
        """Sixteen hexadecimal digits of names and samples."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        for plane in (self.y, self.u, self.v):
            digest.update(f"{plane.shape}".encode())
            digest.update(np.ascontiguousarray(plane).tobytes())
        return digest.hexdigest()[:16]

    def one(self, index: int) -> ClipSet:
        """A single clip."""
        return self.some([index])

    def some(self, indices: Sequence[int]) -> ClipSet:
        """Clips by number, in that order."""
        chosen = list(indices)
        names = tuple(self.names[index] for index in chosen)
        return ClipSet(names, self.y[chosen], self.u[chosen], self.v[chosen])

    def frame(self, t: int, repeat: int = 1) -> Planes:
        """Frame t of every clip, all clips `repeat` times in a row."""
        y, u, v = (torch.from_numpy(plane[:, t]).repeat(repeat, 1, 1) for plane in (self.y, self.u, self.v))
        return y, u, v


def points_of(clips: ClipSet, points: tuple[int, ...]) -> Tensor:
    """The operating point of every example of a batch of all clips at each of `points` (the clip runs fastest)."""
    return torch.tensor(points).repeat_interleave(len(clips))


def choose_clips(cache: ClipCache, count: int, frames: int, size: int, seed: int = 0) -> ClipSet:
    """`count` crops of size x size (fewer where clips are few), one scene each, as many sources as possible.

    The crop stands still; of a few places the one with the most motion is taken, since a still clip tells nothing
    about inter networks. Raises UsageError where no video is long and large enough.
    """
    if size < SIDE or size % SIDE:
        raise UsageError(f"size {size}: multiples of {SIDE} are legal")
    usable = [clip for clip in cache.clips if _fits(clip, frames, size)]
    if not usable:
        videos = sum(not clip.photo for clip in cache.clips)
        raise UsageError(
            f"none of the {videos} videos holds {frames} frames of {size}x{size} without a scene cut;"
            " choose fewer frames, a smaller size, or other clips"
        )
    rng = np.random.default_rng(seed)
    chosen = _spread(usable, count, rng)
    crops = [_crop(clip, frames, size, rng) for clip in chosen]
    names = tuple(f"{clip.name}@{start}+{left}+{top}" for clip, (start, left, top) in zip(chosen, crops, strict=True))
    planes = []
    for plane, part in ((0, 1), (1, 2), (2, 2)):
        cut = [
            clip.planes()[plane][start : start + frames, top // part :, left // part :][
                :, : size // part, : size // part
            ]
            for clip, (start, left, top) in zip(chosen, crops, strict=True)
        ]
        planes.append(np.stack(cut))
    return ClipSet(names, *planes)


def _fits(clip: Clip, frames: int, size: int) -> bool:
    return not clip.photo and min(clip.height, clip.width) >= size and max(clip.scene_lengths) >= frames


def _spread(clips: list[Clip], count: int, rng: np.random.Generator) -> list[Clip]:
    """Clips in turns from randomly ordered sources."""
    sources: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        sources[clip.source].append(clip)
    groups = [sources[name] for name in sorted(sources)]
    order = [[groups[g][i] for i in rng.permutation(len(groups[g]))] for g in rng.permutation(len(groups))]
    rounds = max(map(len, order))
    return [group[i] for i in range(rounds) for group in order if i < len(group)][:count]


_PLACES = 6


def _crop(clip: Clip, frames: int, size: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """(first frame, left, top) inside one scene, the busiest of a few."""
    scenes = [(start, n) for start, n in zip(clip.scenes, clip.scene_lengths, strict=True) if n >= frames]
    luma = clip.planes()[0]
    places = []
    for _ in range(_PLACES):
        start, length = scenes[int(rng.integers(len(scenes)))]
        start += int(rng.integers(length - frames + 1))
        left, top = (2 * int(rng.integers((side - size) // 2 + 1)) for side in (clip.width, clip.height))
        ends = luma[[start, start + frames // 2, start + frames - 1], top : top + size, left : left + size]
        places.append((float(np.abs(np.diff(ends.astype(np.int16), axis=0)).mean()), (start, left, top)))
    return max(places)[1]
