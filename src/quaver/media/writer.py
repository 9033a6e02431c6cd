"""Decoded frames to files: y4m raw, mkv FFV1 lossless, mp4 H.264."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import av

from quaver.errors import MediaError, UsageError
from quaver.media.frame import Frame, VideoFormat
from quaver.media.planes import picture_of, tag
from quaver.media.probe import TIME_BASE_TAG

SUFFIXES = (".y4m", ".mkv", ".mp4")


class _Format(Protocol):
    def write(self, frame: Frame) -> None: ...

    def close(self) -> None: ...


class VideoSink:
    """A video being written: a context manager. The file appears under its name when all went well; after an
    error or Ctrl-C nothing is left of it."""

    def __init__(self, path: str | PathLike[str], video_format: VideoFormat) -> None:
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in SUFFIXES:
            raise UsageError(f"{self.path}: the name must end in {' or '.join(SUFFIXES)} (raw, lossless, lossy)")
        if suffix == ".mp4" and (video_format.width % 2 or video_format.height % 2):
            size = f"{video_format.width}x{video_format.height}"
            raise UsageError(f"{self.path}: H.264 cannot hold {size}, only even sizes; write .mkv or .y4m")
        if self.path.exists() and not self.path.is_file():
            raise MediaError(f"{self.path}: cannot write: this is not a regular file")
        self._part = self.path.with_name(f".{self.path.name}.part{suffix}")
        try:
            self._sink: _Format = (_Y4m if suffix == ".y4m" else _Container)(self._part, video_format)
        except (OSError, av.FFmpegError) as error:
            self._part.unlink(missing_ok=True)
            raise self._failure(error) from error

    def write(self, frame: Frame) -> None:
        """Append a frame; pts must grow."""
        try:
            self._sink.write(frame)
        except (OSError, av.FFmpegError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Finish the file and give it its name."""
        try:
            self._sink.close()
            self._part.replace(self.path)
        except (OSError, av.FFmpegError) as error:
            self._part.unlink(missing_ok=True)
            raise self._failure(error) from error

    def discard(self) -> None:
        """Leave nothing."""
        with contextlib.suppress(OSError, av.FFmpegError):
            self._sink.close()
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
        reason = str(getattr(error, "strerror", None) or error).splitlines()[0]
        return MediaError(f"{self.path}: cannot write: {reason}")


def create_video(path: str | PathLike[str], video_format: VideoFormat) -> VideoSink:
    """A sink for frames of `video_format`; the suffix of `path` says what is written."""
    return VideoSink(path, video_format)


class _Y4m:
    """YUV4MPEG2. It has no times: one frame after the other at the nominal rate."""

    def __init__(self, path: Path, video_format: VideoFormat) -> None:
        self._file = path.open("wb")
        f = video_format
        chroma = {0: "420mpeg2", 1: "420jpeg", 2: "420paldv"}.get(f.chroma_location, "420jpeg")
        fields = (
            f"W{f.width} H{f.height} F{f.frame_rate.numerator}:{f.frame_rate.denominator} Ip"
            f" A{f.sample_aspect.numerator}:{f.sample_aspect.denominator} C{chroma}"
            f" XCOLORRANGE={'FULL' if f.full_range else 'LIMITED'}"
        )
        self._file.write(f"YUV4MPEG2 {fields}\n".encode())

    def write(self, frame: Frame) -> None:
        self._file.write(b"FRAME\n")
        for plane in (frame.y, frame.u, frame.v):
            self._file.write(plane.tobytes())

    def close(self) -> None:
        self._file.close()


class _Container:
    """FFV1 in Matroska, or H.264 in MP4."""

    def __init__(self, path: Path, video_format: VideoFormat) -> None:
        lossless = path.suffix.lower() == ".mkv"
        self._format = video_format
        self._time_base = video_format.time_base
        self._container: Any = av.open(str(path), "w")
        rate = Fraction(video_format.frame_rate).limit_denominator(100_000)
        stream = self._container.add_stream("ffv1" if lossless else "libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = video_format.width, video_format.height, "yuv420p"
        stream.codec_context.time_base = self._time_base
        stream.codec_context.sample_aspect_ratio = video_format.sample_aspect
        stream.time_base = self._time_base
        tag(stream.codec_context, video_format)
        if lossless:
            stream.metadata[TIME_BASE_TAG] = str(self._time_base)
        else:
            stream.options = {"crf": "16"}
        self._stream = stream

    def write(self, frame: Frame) -> None:
        picture = picture_of((frame.y, frame.u, frame.v), self._format)
        picture.pts, picture.time_base = frame.pts, self._time_base
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        if self._container is not None:
            container, self._container = self._container, None
            try:
                container.mux(self._stream.encode(None))
            finally:
                container.close()
