"""Matroska with one FFV1 track: lossless pictures, exact times, every tag of `VideoFormat`.

FFmpeg's own muxer rounds times to milliseconds, and PyAV cannot hand it a sample aspect; this one counts
nanoseconds. One cluster a frame, as each is an intra frame. Sources: RFC 8794 (EBML), RFC 9559 (Matroska),
RFC 9043 (FFV1); chapter numbers below are RFC 9559's.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import BinaryIO

import av

from quaver.media.frame import Frame, VideoFormat
from quaver.media.planes import picture_of, tag
from quaver.media.probe import TIME_BASE_TAG

_NANO = 10**9
_SITING = {0: (1, 2), 1: (2, 2), 2: (1, 1)}  # ChromaLocType: ChromaSitingHorz, ChromaSitingVert
_ENGINE = "quaver"


class MatroskaWriter:
    """Encodes frames and writes them to a seekable `file`; the first frame's pts, if negative, becomes 0."""

    def __init__(self, file: BinaryIO, video_format: VideoFormat) -> None:
        self._file, self._format = file, video_format
        self._encoder = _ffv1(video_format)
        self._origin: int | None = None
        self._end = Fraction(0)  # seconds
        file.write(_element(0x1A45DFA3, _EBML))
        self._size_at = file.seek(0, 1) + 4
        file.write(bytes.fromhex("18538067") + _vint(0, 8))
        info = _element(0x2AD7B1, 1) + _element(0x4D80, _ENGINE) + _element(0x5741, _ENGINE)
        self._duration_at = file.seek(0, 1) + 4 + 1 + len(info) + 3
        file.write(_element(0x1549A966, info + _element(0x4489, 0.0)))
        file.write(_element(0x1654AE6B, _element(0xAE, _track(video_format, bytes(self._encoder.extradata)))))
        file.write(_element(0x1254C367, _time_base_tag(video_format.time_base)))

    def write(self, frame: Frame) -> None:
        if self._origin is None:
            self._origin = min(frame.pts, 0)
        picture = picture_of((frame.y, frame.u, frame.v), self._format)
        picture.pts, picture.time_base = frame.pts - self._origin, self._format.time_base
        self._put(self._encoder.encode(picture))

    def finish(self) -> None:
        """Write what the encoder still holds, then the duration and size that were not known before."""
        self._put(self._encoder.encode(None))
        end = self._file.seek(0, 2)
        self._file.seek(self._duration_at)
        self._file.write(struct.pack(">d", float(self._end * _NANO)))
        self._file.seek(self._size_at)
        self._file.write(_vint(end - self._size_at - 8, 8))
        self._file.seek(end)

    def _put(self, packets: list[av.Packet]) -> None:
        """A cluster (5.1.3) for each packet: its time, then a SimpleBlock of track 1, relative time 0, key."""
        for packet in packets:
            seconds = packet.pts * self._format.time_base
            self._end = seconds + 1 / self._format.frame_rate
            block = _element(0xA3, b"\x81\x00\x00\x80" + bytes(packet))
            self._file.write(_element(0x1F43B675, _element(0xE7, round(seconds * _NANO)) + block))


def _ffv1(video_format: VideoFormat) -> av.VideoCodecContext:
    """An open FFV1 version 3 encoder: every frame intra, a CRC in each slice."""
    encoder = av.VideoCodecContext.create("ffv1", "w")
    encoder.width, encoder.height, encoder.pix_fmt = video_format.width, video_format.height, "yuv420p"
    encoder.time_base, encoder.gop_size = video_format.time_base, 1
    encoder.options = {"level": "3", "slicecrc": "1"}
    tag(encoder, video_format)
    encoder.open()
    return encoder


def _track(video_format: VideoFormat, codec_private: bytes) -> bytes:
    """The body of a TrackEntry (5.1.4.1)."""
    duration = max(round(_NANO / video_format.frame_rate), 1)
    return b"".join(
        [
            _element(0xD7, 1) + _element(0x73C5, 1) + _element(0x83, 1) + _element(0x9C, 0),
            _element(0x86, "V_FFV1") + _element(0x63A2, codec_private) + _element(0x23E383, duration),
            _element(0xE0, _video(video_format)),
        ]
    )


def _video(video_format: VideoFormat) -> bytes:
    """The body of Video (5.1.4.1.28); DisplayUnit 3 makes the display sizes an aspect ratio."""
    aspect = Fraction(video_format.width, video_format.height) * video_format.sample_aspect
    across, down = _SITING.get(video_format.chroma_location, (0, 0))
    colour = b"".join(
        [
            _element(0x55B1, video_format.matrix) + _element(0x55B7, across) + _element(0x55B8, down),
            _element(0x55B9, 2 if video_format.full_range else 1),
            _element(0x55BA, video_format.transfer) + _element(0x55BB, video_format.primaries),
        ]
    )
    display = b""
    if video_format.sample_aspect != 1:
        display = _element(0x54B0, aspect.numerator) + _element(0x54BA, aspect.denominator) + _element(0x54B2, 3)
    turn = b""
    if video_format.rotation:  # ProjectionPoseRoll counts counter-clockwise, -180 to 180
        roll = float((180 - video_format.rotation) % 360 - 180)
        turn = _element(0x7670, _element(0x7671, 0) + _element(0x7675, roll))
    size = _element(0xB0, video_format.width) + _element(0xBA, video_format.height)
    return size + display + _element(0x55B0, colour) + turn


def _time_base_tag(time_base: Fraction) -> bytes:
    """A Tag (5.1.8.1) on the track that lets the reader give back the pts in their own unit."""
    simple = _element(0x45A3, TIME_BASE_TAG) + _element(0x4487, str(time_base))
    return _element(0x7373, _element(0x63C0, _element(0x63C5, 1)) + _element(0x67C8, simple))


def _element(identity: int, value: bytes | str | int | float) -> bytes:
    """An EBML element: its id, the length, and the value by its type (unsigned, float64, text or raw)."""
    if isinstance(value, int):
        data = value.to_bytes(max((value.bit_length() + 7) // 8, 1), "big")
    elif isinstance(value, float):
        data = struct.pack(">d", value)
    else:
        data = value.encode() if isinstance(value, str) else value
    length = next(n for n in range(1, 9) if len(data) < (1 << 7 * n) - 1)
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + _vint(len(data), length) + data


def _vint(value: int, length: int) -> bytes:
    """An EBML variable-size integer in `length` bytes."""
    return (value | 1 << 7 * length).to_bytes(length, "big")


_EBML = b"".join(
    [
        _element(0x4286, 1) + _element(0x42F7, 1) + _element(0x42F2, 4) + _element(0x42F3, 8),
        _element(0x4282, "matroska") + _element(0x4287, 4) + _element(0x4285, 2),
    ]
)
