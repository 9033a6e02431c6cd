"""Video files in: anything FFmpeg opens, as 8-bit 4:2:0 frames with their times and colour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from quaver.errors import MediaError, UsageError
from quaver.media import probe
from quaver.media.frame import MAX_SAMPLES, Frame, check_size
from quaver.media.planes import SAME_SAMPLES, planes_of

# Pictures a hostile header announces are refused before their memory is asked for; decoders count rows and
# columns in whole blocks, hence twice the limit. Playlists may name local files only.
_OPTIONS = {"max_pixels": str(2 * MAX_SAMPLES), "protocol_whitelist": "file,crypto,data"}
_TEXT = ("ansi", "bintext", "idf", "xbin")  # FFmpeg would draw a text file as a picture
_LEGAL = "a video that FFmpeg reads: .y4m .mp4 .mkv .webm .avi .mov and others"


class VideoSource:
    """An open video: a context manager and an iterator over its frames, once.

    ``format``: what every frame has in common. ``frame_count``: how many frames the file's headers promise
    after the slice, None if they say nothing. ``converted``: the source is not 8-bit 4:2:0 (``pixel_format``
    names what it is) and its samples were converted.
    """

    def __init__(self, path: str | PathLike[str], frames: slice | None = None) -> None:
        self.path = Path(path)
        self._first, self._stop, self._step = _bounds(frames)
        self._resources = ExitStack()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        try:
            _refuse_non_files(self.path)
            self._container = self._resources.enter_context(
                av.open(f"file:{self.path}", options=_OPTIONS, metadata_errors="replace")
            )
            self._stream = _video_stream(self._container)
            self._decoded = self._decode()
            self._ahead = next(self._decoded, None)
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{self.path}: not a readable video ({_reason(error)}); legal is {_LEGAL}") from error
        except MediaError as error:
            raise MediaError(f"{self.path}: {error}") from error
        if self._ahead is None:
            raise MediaError(f"{self.path}: no picture can be decoded; legal is {_LEGAL}")
        try:
            self.format = probe.video_format(self._stream, self._ahead)
        except MediaError as error:
            raise MediaError(f"{self.path}: {error}") from error
        self.pixel_format = str(self._ahead.format.name)
        self.converted = self.pixel_format not in SAME_SAMPLES
        total = probe.frame_count(self._container, self._stream, self.format.frame_rate)
        self.frame_count = None if total is None else len(range(total)[self._first : self._stop : self._step])
        self._frames = self._read()

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; iterating afterwards is an error."""
        self._resources.close()

    def _decode(self) -> Iterator[av.VideoFrame]:
        self._stream.thread_type = "AUTO"
        yield from self._container.decode(self._stream)

    def _read(self) -> Iterator[Frame]:
        """Decode to the end of the slice; times are settled on every picture, wanted or not."""
        clock = probe.clock(self._stream, self.format)
        wanted = None
        for number in count():
            if self._stop is not None and number >= self._stop:
                break
            picture = self._next(number)
            if picture is None:
                break
            pts = clock.pts(picture.pts)
            if number < self._first or (number - self._first) % self._step:
                continue
            self._check(picture, number)
            try:
                y, u, v = planes_of(picture)
            except (av.FFmpegError, MediaError) as error:
                raise MediaError(f"{self.path}: frame {number} cannot be converted ({error})") from error
            wanted = Frame(y, u, v, pts, self.format)
            yield wanted
        if wanted is None:
            raise MediaError(
                f"{self.path}: frames [{self._first}:{'' if self._stop is None else self._stop}] select nothing;"
                f" the video has {number} that can be read"
            )

    def _next(self, number: int) -> av.VideoFrame | None:
        picture, self._ahead = self._ahead, None
        if picture is not None:
            return picture
        try:
            return next(self._decoded, None)
        except (av.FFmpegError, OSError) as error:
            raise MediaError(
                f"{self.path}: frame {number} cannot be decoded ({_reason(error)}): the file is damaged or cut short"
            ) from error

    def _check(self, picture: av.VideoFrame, number: int) -> None:
        size, first = (picture.width, picture.height), (self.format.width, self.format.height)
        if size != first:
            raise MediaError(
                f"{self.path}: frame {number} is {size[0]}x{size[1]} but the video began as {first[0]}x{first[1]};"
                " all frames must have one size"
            )


def open_video(path: str | PathLike[str], frames: slice | None = None) -> VideoSource:
    """Open a video file; ``frames`` picks frames by number (start, stop, positive step, none negative).

    Raises MediaError when there is no such file or no video in it, UsageError for an illegal slice.
    """
    return VideoSource(path, frames)


def _bounds(frames: slice | None) -> tuple[int, int | None, int]:
    """(first, stop or None, step) of a slice."""
    chosen = frames or slice(None)
    first, stop, step = chosen.start or 0, chosen.stop, 1 if chosen.step is None else chosen.step
    if first < 0 or step < 1 or (stop is not None and stop <= first):
        raise UsageError(
            f"frames {chosen.start}:{chosen.stop}:{chosen.step} cannot be chosen: legal is 0 <= start < stop, step >= 1"
        )
    return first, stop, step


def _refuse_non_files(path: Path) -> None:
    if path.is_dir():
        raise MediaError(f"is a directory; legal is {_LEGAL}")
    if not path.exists():
        raise MediaError("no such file")
    if path.is_file() and path.stat().st_size == 0:
        raise MediaError(f"the file is empty; legal is {_LEGAL}")


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first stream of moving pictures; the cover picture of a song is none."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        held = ", ".join(sorted({str(stream.type) for stream in container.streams})) or "nothing"
        raise MediaError(f"holds no video, only {held}; legal is {_LEGAL}")
    context = streams[0].codec_context
    if context is None:
        raise MediaError(f"the video is in a coding that this FFmpeg cannot decode; legal is {_LEGAL}")
    if context.name in _TEXT:
        raise MediaError(f"is a text file; legal is {_LEGAL}")
    if context.width and context.height:
        check_size(context.width, context.height)
    return streams[0]


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
