"""What FFmpeg knows about a video stream, as a `VideoFormat`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import av

from quaver.media.frame import VideoFormat
from quaver.media.planes import NATIVE, is_full_range, is_rgb, rgb_matrix

TIME_BASE_TAG = "TIME_BASE"
_MAX_TERM = 2**32 - 1
_UNSPECIFIED = 2
_LEFT, _CENTRE, _TOP_LEFT = 0, 1, 2


def video_format(stream: av.VideoStream, first: av.VideoFrame) -> VideoFormat:
    """Size, timing and colour of a stream whose first decoded picture is `first`.

    Raises MediaError for a size that Quaver does not support.
    """
    rate = _frame_rate(stream)
    matrix = first.colorspace if 0 < first.colorspace < 256 else _UNSPECIFIED
    return VideoFormat(
        width=first.width,
        height=first.height,
        frame_rate=rate,
        time_base=exact_time_base(stream) or _positive(stream.time_base) or 1 / rate,
        primaries=first.color_primaries if 0 < first.color_primaries < 256 else _UNSPECIFIED,
        transfer=first.color_trc if 0 < first.color_trc < 256 else _UNSPECIFIED,
        matrix=rgb_matrix(first.height) if is_rgb(first) else matrix,
        full_range=is_full_range(first),
        chroma_location=_chroma_location(stream) if first.format.name in NATIVE else _LEFT,
        sample_aspect=_positive(stream.sample_aspect_ratio) or Fraction(1),
        rotation=round(-first.rotation / 90) * 90 % 360,
    )


def exact_time_base(stream: av.VideoStream) -> Fraction | None:
    """The time base that Quaver's Matroska writer noted, since Matroska itself counts whole nanoseconds."""
    try:
        return _positive(Fraction(stream.metadata.get(TIME_BASE_TAG, "")))
    except (ValueError, ZeroDivisionError):
        return None


@dataclass(slots=True)
class Clock:
    """Turns a stream's timestamps, which may be missing, repeated or absurd, into strictly increasing pts.

    ``scale``: what a timestamp of the stream is multiplied by; ``step``: a frame's nominal duration in pts.
    """

    scale: Fraction
    step: int
    _last: int | None = None

    def pts(self, timestamp: int | None) -> int:
        if timestamp is None or abs(timestamp) > 2**60:
            pts = 0 if self._last is None else self._last + self.step
        else:
            pts = round(timestamp * self.scale)
        self._last = pts if self._last is None else max(pts, self._last + 1)
        return self._last


def clock(stream: av.VideoStream, chosen: VideoFormat) -> Clock:
    """The clock that turns timestamps of `stream` into pts in units of the format's time base."""
    unit = _positive(stream.time_base) or chosen.time_base
    return Clock(unit / chosen.time_base, max(round(1 / (chosen.frame_rate * chosen.time_base)), 1))


def frame_count(container: av.container.InputContainer, stream: av.VideoStream, rate: Fraction) -> int | None:
    """How many frames the headers promise; None when they say nothing."""
    if stream.frames > 0:
        return int(stream.frames)
    if stream.duration and stream.time_base:
        count: Fraction = stream.duration * stream.time_base * rate
    elif container.duration:
        count = Fraction(container.duration, av.time_base) * rate
    else:
        return None
    return max(round(count), 1)


def _frame_rate(stream: av.VideoStream) -> Fraction:
    """The nominal rate, 25 when nothing is known. Containers that store a rounded frame duration turn
    60000/1001 into an unwieldy neighbour; a rate within 10 ppm of n or n * 1000/1001 is taken for that."""
    rate = _positive(stream.average_rate) or _positive(stream.guessed_rate) or Fraction(25)
    for likely in (Fraction(round(rate)), Fraction(round(rate * 1001 / 1000) * 1000, 1001)):
        if likely and abs(rate / likely - 1) < Fraction(1, 100_000):
            return likely
    return rate


def _positive(value: Fraction | None) -> Fraction | None:
    """The value if a stream header can hold it, else None."""
    if value is None or value <= 0 or max(value.numerator, value.denominator) > _MAX_TERM:
        return None
    return value


def _chroma_location(stream: av.VideoStream) -> int:
    """H.273 ChromaLocType of the stream; left, the default of H.264 and its successors, when unknown.

    PyAV does not show this field, but FFmpeg writes it into a Matroska header, so one is made in memory and
    its ChromaSitingHorz and ChromaSitingVert are read.
    """
    header = io.BytesIO()
    try:
        with av.open(header, "w", format="matroska", options={"allow_raw_vfw": "1"}) as matroska:
            matroska.add_stream_from_template(stream, opaque=True)
            matroska.start_encoding()
    except (av.FFmpegError, ValueError):  # a codec that Matroska has no name for
        return _LEFT
    data = header.getvalue()
    at = data.find(b"\x55\xb7\x81")
    if at < 0 or data[at + 4 : at + 7] != b"\x55\xb8\x81":
        return _LEFT
    return {(1, 2): _LEFT, (2, 2): _CENTRE, (1, 1): _TOP_LEFT}.get((data[at + 3], data[at + 7]), _LEFT)
