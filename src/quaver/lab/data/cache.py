"""Video files and photos, decoded once into memory-mapped planes."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quaver.errors import QuaverError, UsageError
from quaver.media.reader import open_video

_SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".mov", ".y4m", ".mpg", ".m4v", ".ogv"}
_PHOTOS = {".jpg", ".jpeg", ".png", ".webp"}
_CUT = 25.0  # mean absolute difference of luma between frames of different scenes
_VERSION = 1

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Clip:
    """One file's frames. ``source``: its name without a trailing number; clips of one source share a share of the
    batches. ``cuts``: first frames of scenes, 0 among them."""

    name: str
    folder: str
    frames: int
    height: int
    width: int
    cuts: tuple[int, ...]

    @property
    def source(self) -> str:
        return re.sub(r"[_-]?\d+$", "", self.name)

    @property
    def photo(self) -> bool:
        return self.frames == 1

    def planes(self) -> tuple[Bytes, Bytes, Bytes]:
        """Y (T, H, W), U and V (T, H/2, W/2), memory-mapped; H and W are even."""
        y, u, v = (np.load(f"{self.folder}/{plane}.npy", mmap_mode="r") for plane in "yuv")
        return y, u, v


@dataclass(frozen=True, slots=True)
class ClipCache:
    """All clips, in the order of their names."""

    clips: tuple[Clip, ...]


def build_cache(
    folder: Path,
    cache: Path,
    exclude: Sequence[str] = (),
    warn: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
) -> ClipCache:
    """Decode the files under `folder` whose names match none of `exclude` into `cache`; what is there already is
    kept. A file that cannot be read is reported and left out. UsageError where nothing is left."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; training needs one with video files")
    known = _SUFFIXES | _PHOTOS
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in known)
    clips = []
    for path in files:
        if any(fnmatch.fnmatch(path.name, pattern) or fnmatch.fnmatch(path.stem, pattern) for pattern in exclude):
            continue
        try:
            clips.append(_cached(path, cache))
        except QuaverError as error:
            warn(f"left out: {error}")
    if not clips:
        raise UsageError(f"{folder}: no usable video; legal are files such as {' '.join(sorted(_SUFFIXES))}")
    return ClipCache(tuple(clips))


def _cached(path: Path, cache: Path) -> Clip:
    stat = path.stat()
    key = hashlib.sha256(f"{_VERSION} {path.name} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:16]
    target = cache / f"{path.stem}-{key}"
    description = target / "clip.json"
    if not description.exists():
        _decode(path, target)
    values = json.loads(description.read_text())
    return Clip(**values | {"cuts": tuple(values["cuts"]), "folder": str(target)})


def _decode(path: Path, target: Path) -> None:
    """Write a clip's planes, then its description, which makes it valid."""
    frames = slice(0, 1) if path.suffix.lower() in _PHOTOS else None
    planes: tuple[list[Bytes], ...] = ([], [], [])
    with open_video(path, frames) as video:
        height, width = video.format.height & ~1, video.format.width & ~1
        for frame in video:
            planes[0].append(frame.y[:height, :width])
            planes[1].append(frame.u[: height // 2, : width // 2])
            planes[2].append(frame.v[: height // 2, : width // 2])
    small = [y[::4, ::4].astype(np.int16) for y in planes[0]]
    cuts = [t for t in range(1, len(small)) if np.abs(small[t] - small[t - 1]).mean() > _CUT]
    target.mkdir(parents=True, exist_ok=True)
    for name, plane in zip("yuv", planes, strict=True):
        np.save(target / f"{name}.npy", np.stack(plane))
    clip = Clip(path.stem, str(target), len(planes[0]), height, width, (0, *cuts))
    part = target / "clip.json.part"
    part.write_text(json.dumps(asdict(clip)))
    part.replace(target / "clip.json")
