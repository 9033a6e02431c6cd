"""Frames to video files: .y4m raw, .mkv FFV1 (lossless), .mp4 H.264 (lossy)."""

from __future__ import annotations

import contextlib
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

import av

from quaver.errors import MediaError, UsageError
from quaver.media.frame import Frame, VideoFormat
from quaver.media.matroska import MatroskaWriter
from quaver.media.mp4 import Mp4Writer
from quaver.media.y4m import Y4mWriter


class _Writer(Protocol):
    def __init__(self, file: BinaryIO, video_format: VideoFormat) -> None: ...

    def write(self, frame: Frame) -> None: ...

    def finish(self) -> None: ...


_WRITERS: dict[str, type[_Writer]] = {".y4m": Y4mWriter, ".mkv": MatroskaWriter, ".mp4": Mp4Writer}
_LEGAL = ".y4m (raw), .mkv (FFV1, lossless) or .mp4 (H.264, lossy)"
SUFFIXES = tuple(_WRITERS)
_FAILURES = (OSError, av.FFmpegError, OverflowError)


class VideoSink:
    """A video being written: a context manager. The file appears under its name when all went well; after an
    error or Ctrl-C nothing is left of it."""

    def __init__(self, path: str | PathLike[str], video_format: VideoFormat) -> None:
        self.path, self.format = Path(path), video_format
        suffix = self.path.suffix.lower()
        if suffix not in _WRITERS:
            raise UsageError(f"{self.path}: a video's name must end in {_LEGAL}")
        if suffix == ".mp4" and (video_format.width % 2 or video_format.height % 2):
            size = f"{video_format.width}x{video_format.height}"
            raise UsageError(f"{self.path}: H.264 cannot hold {size}, only even sizes; write .mkv or .y4m")
        self._last: int | None = None
        self._part = self.path.with_name(f".{self.path.name}.part")
        try:
            if self.path.exists() and not self.path.is_file():
                raise MediaError(f"{self.path}: cannot write: this is not a regular file")
            self._file = self._part.open("wb")
        except OSError as error:
            raise self._failure(error) from error
        try:
            self._writer = _WRITERS[suffix](self._file, video_format)
        except BaseException as error:
            self.discard()
            if isinstance(error, _FAILURES):
                raise self._failure(error) from error
            raise

    def write(self, frame: Frame) -> None:
        """Append a frame of the sink's size; pts must grow.

        Raises UsageError for a frame that does not fit, MediaError when the file cannot be written.
        """
        if frame.y.shape != (self.format.height, self.format.width) or frame.u.shape != self.format.chroma_shape:
            rows, columns = frame.y.shape
            raise UsageError(
                f"{self.path}: a {columns}x{rows} frame in a {self.format.width}x{self.format.height} video"
            )
        if self._last is not None and frame.pts <= self._last:
            raise UsageError(f"{self.path}: pts {frame.pts} follows {self._last}; pts must grow")
        self._last = frame.pts
        try:
            self._writer.write(frame)
        except _FAILURES as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Finish the file and give it its name; on failure nothing is left of it."""
        try:
            if self._last is None:
                raise MediaError(f"{self.path}: no frame was written, and an empty video is not legal")
            self._writer.finish()
            self._file.close()
            self._part.replace(self.path)
        except BaseException as error:
            self.discard()
            if isinstance(error, _FAILURES):
                raise self._failure(error) from error
            raise

    def discard(self) -> None:
        """Leave nothing."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _failure(self, error: Exception) -> MediaError:
        if isinstance(error, OverflowError):  # FFmpeg's fractions have 31 bits, those of a stream 32
            suffix = self.path.suffix.lower()
            return MediaError(f"{self.path}: cannot write: {suffix} cannot hold such times or aspect; write .y4m")
        reason = str(getattr(error, "strerror", None) or error).splitlines()[0]
        return MediaError(f"{self.path}: cannot write: {reason}")


def create_video(path: str | PathLike[str], video_format: VideoFormat) -> VideoSink:
    """A sink for frames of `video_format`; the suffix of `path` says what is written.

    Raises UsageError for another suffix or an odd size in .mp4, MediaError when the file cannot be created.
    """
    return VideoSink(path, video_format)
