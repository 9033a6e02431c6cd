"""Streams made in memory for the tests of this folder."""

import io
from fractions import Fraction

from quaver.bitstream import FrameKind, FrameRecord, StreamHeader, StreamReader, StreamWriter
from quaver.media.frame import VideoFormat

HEADER = StreamHeader(
    model_hash=bytes(range(32)),
    profile=1,
    format=VideoFormat(640, 360, frame_rate=Fraction(30000, 1001), time_base=Fraction(1, 90000)),
    gop=3,
)


def frame(number: int, gop: int = 3, payload: bytes | None = None) -> FrameRecord:
    """Frame `number` of a stream at 29.97 fps with an intra frame every `gop` frames."""
    return FrameRecord(
        kind=FrameKind.INTER if number % gop else FrameKind.INTRA,
        quality=(7 * number) % 64,
        pts=3003 * number,
        checksum=(0x9E3779B9 * (number + 1)) % 2**32,
        payload=bytes([number % 255 + 1]) * (5 * number) if payload is None else payload,
    )


def stream(frames: list[FrameRecord], header: StreamHeader = HEADER, close: bool = True) -> bytes:
    file = io.BytesIO()
    writer = StreamWriter(file, header)
    for record in frames:
        writer.write(record)
    if close:
        writer.close()
    return file.getvalue()


def reader(data: bytes) -> StreamReader:
    return StreamReader(io.BytesIO(data), "clip.qvr")


class Pipe(io.RawIOBase):
    """Bytes that cannot be sought and come a few at a time."""

    def __init__(self, data: bytes, at_once: int = 3) -> None:
        self._file = io.BytesIO(data)
        self._at_once = at_once
        self.largest = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        self.largest = max(self.largest, size)
        return self._file.read(min(size, self._at_once))
