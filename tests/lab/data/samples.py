"""Tiny clips and caches made in code."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quaver.lab.data.cache import Clip
from quaver.media.frame import Frame, VideoFormat
from quaver.media.png import encode_png
from quaver.media.writer import create_video

Bytes = NDArray[np.uint8]


def random_planes(frames: int, height: int, width: int, seed: int = 0) -> tuple[Bytes, Bytes, Bytes]:
    """Noise: Y (T, H, W), U and V (T, H/2, W/2)."""
    rng = np.random.default_rng(seed)
    y, u, v = (rng.integers(16, 236, (frames, height // p, width // p), dtype=np.uint8) for p in (1, 2, 2))
    return y, u, v


def slope_planes(frames: int, height: int, width: int) -> tuple[Bytes, Bytes, Bytes]:
    """Every 2x2 luma samples equal their chroma samples, and no two places in a row or column are alike."""
    chroma = np.add.outer(np.arange(height // 2), np.arange(width // 2)).astype(np.uint8)
    chroma = np.broadcast_to(chroma, (frames, *chroma.shape))
    return chroma.repeat(2, 1).repeat(2, 2), chroma, chroma


def write_video(path: Path, planes: Sequence[Bytes]) -> Path:
    """A lossless file of the planes, at 25 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = planes[0].shape[1:]
    video_format = VideoFormat(width, height, Fraction(25), Fraction(1, 25))
    with create_video(path, video_format) as sink:
        for t, (y, u, v) in enumerate(zip(*planes, strict=True)):
            sink.write(Frame(y, u, v, t, video_format))
    return path


def write_photo(path: Path, height: int, width: int) -> Path:
    """Coloured noise, as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)))
    return path


def clip_of(
    folder: Path, name: str, planes: Sequence[Bytes], scenes: tuple[int, ...] = (0,), photo: bool = False
) -> Clip:
    """A cached clip without the detour over a file."""
    path = folder / f"{name}.i420"
    frames, height, width = planes[0].shape
    path.write_bytes(b"".join(plane[t].tobytes() for t in range(frames) for plane in planes))
    return Clip(name, name.rpartition("_")[0] or name, str(path), frames, height, width, scenes, photo)
