"""YUV4MPEG2: a line of text, then raw frames. It has no times, no colour tags but the range, no rotation."""

from __future__ import annotations

from typing import BinaryIO

from quaver.media.frame import Frame, VideoFormat

_CHROMA = {0: "420mpeg2", 1: "420jpeg", 2: "420paldv"}  # by H.273 ChromaLocType


class Y4mWriter:
    """Appends frames to `file` one after the other, whatever their pts, at the format's nominal rate."""

    def __init__(self, file: BinaryIO, video_format: VideoFormat) -> None:
        self._file = file
        rate, aspect = video_format.frame_rate, video_format.sample_aspect
        fields = (
            f"W{video_format.width} H{video_format.height} F{rate.numerator}:{rate.denominator} Ip"
            f" A{aspect.numerator}:{aspect.denominator} C{_CHROMA.get(video_format.chroma_location, '420jpeg')}"
            f" XCOLORRANGE={'FULL' if video_format.full_range else 'LIMITED'}"
        )
        file.write(f"YUV4MPEG2 {fields}\n".encode())

    def write(self, frame: Frame) -> None:
        self._file.write(b"FRAME\n")
        for plane in (frame.y, frame.u, frame.v):
            self._file.write(plane.tobytes())

    def finish(self) -> None:
        """Nothing follows the last frame."""
