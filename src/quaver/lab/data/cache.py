"""Video files and photos, decoded once into memory-mapped planes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from quaver.errors import MediaError, UsageError
from quaver.lab.data.scenes import scene_starts, thumbnail
from quaver.media.frame import Frame
from quaver.media.planes import picture_of, planes_of
from quaver.media.reader import open_video

_VIDEOS = frozenset((".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf"))
_VIDEOS |= frozenset((".ogv", ".ts", ".webm", ".wmv", ".y4m"))
_PHOTOS = frozenset((".jpg", ".jpeg", ".png", ".webp"))
_LINES = {True: 1440, False: 720}  # the shorter side of photos and of videos; photos are shrunk again in motion
_STALE = 3600.0  # seconds after which an unfinished file belongs to nobody
_VERSION = 2

Bytes = NDArray[np.uint8]
Planes = tuple[Bytes, Bytes, Bytes]


@dataclass(frozen=True, slots=True)
class Clip:
    """One file's frames, raw 8-bit 4:2:0 (Y, U, V of one frame, then of the next) in ``file``.

    ``source``: the name without a trailing _number; clips of one source divide its share of the batches.
    ``height``, ``width``: even. ``scenes``: first frames of scenes, 0 among them. ``photo``: a single picture.
    """

    name: str
    source: str
    file: str
    frames: int
    height: int
    width: int
    scenes: tuple[int, ...]
    photo: bool

    @property
    def bytes(self) -> int:
        """Size of ``file``."""
        return self.frames * self.height * self.width * 3 // 2

    @property
    def scene_lengths(self) -> tuple[int, ...]:
        """Frames of every scene."""
        return tuple(b - a for a, b in zip(self.scenes, (*self.scenes[1:], self.frames), strict=True))

    def planes(self) -> Planes:
        """Y (T, H, W), U and V (T, H/2, W/2): views of the memory-mapped file, nothing is read yet."""
        height, width, area = self.height, self.width, self.height * self.width
        data = np.memmap(self.file, np.uint8, "r")
        y: Bytes = np.ndarray((self.frames, height, width), np.uint8, data, 0, (area * 3 // 2, width, 1))
        chroma = (self.frames, height // 2, width // 2), (area * 3 // 2, width // 2, 1)
        u, v = (np.ndarray(chroma[0], np.uint8, data, start, chroma[1]) for start in (area, area * 5 // 4))
        return y, u, v


@dataclass(frozen=True, slots=True)
class ClipCache:
    """All clips, in the order of their paths."""

    clips: tuple[Clip, ...]


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)


def build_cache(
    folder: Path,
    cache: Path,
    exclude: Sequence[str] = (),
    warn: Callable[[str], None] = _to_stderr,
    show: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> ClipCache:
    """Decode the videos and photos under `folder` into `cache`; what is there already is kept.

    exclude: shell patterns of names or paths (relative to `folder`) to leave out. warn: gets one line for every
    file that cannot be read; it is left out. show: (files done, files in all, name of the next), for a bar.
    Entries are known by file name, size and SHA-256. Raises UsageError where nothing is left or the cache cannot
    be written.
    """
    paths = files_of(folder, exclude)
    clips: dict[str, Clip] = {}
    for done, path in enumerate(paths):
        show(done, len(paths), path.name)
        try:
            clip = _cached(path, cache, warn)
        except MediaError as error:
            warn(f"left out: {error}")
        else:
            clips.setdefault(clip.file, clip)
    show(len(paths), len(paths), "")
    if not clips:
        raise UsageError(
            f"{folder}: no usable video or photo; legal are files such as {' '.join(sorted(_VIDEOS | _PHOTOS))}"
        )
    return ClipCache(tuple(clips.values()))


@contextmanager
def decoded(folder: Path, cache: Path | None, exclude: Sequence[str] = ()) -> Iterator[ClipCache]:
    """As `build_cache`; without a `cache` in a folder that is gone afterwards."""
    with TemporaryDirectory() if cache is None else nullcontext(str(cache)) as place:
        yield build_cache(folder, Path(place), exclude)


def files_of(folder: Path, exclude: Sequence[str] = ()) -> list[Path]:
    """Videos and photos to read, sorted by path, the same on every system. UsageError where `folder` is none."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; legal is one with video files")

    def wanted(path: Path) -> bool:
        names = path.name, path.stem, path.relative_to(folder).as_posix()
        known = path.suffix.lower() in _VIDEOS | _PHOTOS and not path.name.startswith(".")
        return known and path.is_file() and not any(fnmatch(name, x) for name in names for x in exclude)

    return sorted(filter(wanted, folder.rglob("*")), key=lambda path: path.relative_to(folder).as_posix())


def _cached(path: Path, cache: Path, warn: Callable[[str], None]) -> Clip:
    """The clip of a file, decoded now unless it was before."""
    try:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from error
    key = hashlib.sha256(f"{_VERSION}/{path.name}/{size}/{content}".encode()).hexdigest()[:20]
    target = cache / f"{path.stem[:40]}-{key}.i420"
    return _described(target) or _decode(path, target, warn)


def _described(target: Path) -> Clip | None:
    """The clip in `target` if it was finished and is whole."""
    try:
        values = json.loads(target.with_suffix(".json").read_text())
        clip = Clip(**values | {"scenes": tuple(values["scenes"]), "file": str(target)})
        return clip if target.stat().st_size == clip.bytes else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _decode(path: Path, target: Path, warn: Callable[[str], None]) -> Clip:
    """Write a file's frames, then its description, which makes them valid; both beside their names first."""
    photo = path.suffix.lower() in _PHOTOS
    part, note = (target.with_name(f"{target.name}.{os.getpid()}{end}") for end in (".part", ".json.part"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f"{escape(target.name)}.*.part"):
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()
        with part.open("wb") as file:
            frames, (height, width), differences = _write(path, photo, file, warn)
        source = re.sub(r"_\d+$", "", path.stem)
        scenes = scene_starts(differences)
        clip = Clip(path.stem, source, str(target), frames, height, width, scenes, photo)
        note.write_text(json.dumps(asdict(clip)))
        part.replace(target)
        note.replace(target.with_suffix(".json"))
        return clip
    except OSError as error:
        raise UsageError(f"{target.parent}: cannot write the clip cache: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # the error above says why; a folder that is none has nothing to remove either
            part.unlink(missing_ok=True)
            note.unlink(missing_ok=True)


def _write(
    path: Path, photo: bool, file: BinaryIO, warn: Callable[[str], None]
) -> tuple[int, tuple[int, int], list[float]]:
    """Append a file's frames to `file`: how many, their (height, width), thumbnail differences between them.

    A video that breaks off keeps the frames before that, if there are two. Raises MediaError for other damage.
    """
    frames, shape, last, differences = 0, (0, 0), None, list[float]()
    with open_video(path, slice(0, 1) if photo else None) as video:
        try:
            for frame in video:
                planes = _bounded(frame, _LINES[photo])
                for plane in planes:
                    file.write(plane.tobytes())
                small = thumbnail(planes[0])
                if last is not None:
                    differences.append(float(np.abs(small - last).mean()))
                frames, shape, last = frames + 1, planes[0].shape, small
        except MediaError as error:
            if frames < 2:
                raise
            warn(f"cut short after {frames} frames: {error}")
    if frames == 0:
        raise MediaError(f"{path}: holds no frame")
    return frames, (shape[0], shape[1]), differences


def _bounded(frame: Frame, lines: int) -> Planes:
    """A frame's planes with even sides, shrunk where its shorter side exceeds `lines`."""
    planes = frame.y, frame.u, frame.v
    height, width = frame.y.shape
    if min(height, width) > lines:
        scale = lines / min(height, width)
        height, width = (2 * round(side * scale / 2) for side in (height, width))
        picture = picture_of(planes, frame.format)
        planes = planes_of(picture.reformat(width=width, height=height, interpolation="BICUBIC"))
    height, width = height // 2, width // 2
    y, u, v = planes
    return y[: 2 * height, : 2 * width], u[:height, :width], v[:height, :width]
