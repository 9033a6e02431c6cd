"""Videos made in memory or by FFmpeg's encoders for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from quaver.media.frame import Frame, VideoFormat
from quaver.media.writer import create_video

SIZES = [(16, 16), (17, 23), (33, 16), (32, 17), (64, 48)]


def video_format(width: int = 64, height: int = 48, **changes: object) -> VideoFormat:
    """25 frames a second unless changed."""
    fields: dict[str, object] = {"frame_rate": Fraction(25), "time_base": Fraction(1, 25)}
    return VideoFormat(width, height, **{**fields, **changes})  # type: ignore[arg-type]


def noise(chosen: VideoFormat, times: Sequence[int] = (0, 1, 2)) -> list[Frame]:
    """A frame of random samples for each pts."""
    random = np.random.default_rng(7)
    shapes = (chosen.height, chosen.width), chosen.chroma_shape, chosen.chroma_shape
    return [Frame(*(random.integers(0, 256, s, np.uint8) for s in shapes), pts, chosen) for pts in times]


def write(path: Path, frames: Sequence[Frame]) -> Path:
    with create_video(path, frames[0].format) as sink:
        for frame in frames:
            sink.write(frame)
    return path


def same_samples(left: Frame, right: Frame) -> bool:
    planes = zip((left.y, left.u, left.v), (right.y, right.u, right.v), strict=True)
    return all(np.array_equal(a, b) for a, b in planes)


def flat(path: Path, codec: str, pixels: str, size: tuple[int, int], values: Sequence[int], bits: int = 8) -> Path:
    """Three pictures by an FFmpeg encoder, each plane filled with its value."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, width=size[0], height=size[1])
        stream.pix_fmt = pixels
        for pts in range(3):
            picture = av.VideoFrame(*size, pixels)
            picture.pts = pts
            for plane, value in zip(picture.planes, values, strict=True):
                kind = np.uint8 if bits == 8 else np.uint16
                plane.update(np.full(plane.buffer_size // kind().itemsize, value, kind).tobytes())
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def h264(width: int, height: int, count: int) -> bytes:
    """A bare H.264 elementary stream of noise: no container, no times."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    random, packets = np.random.default_rng(3), []
    for pts in range(count):
        picture = av.VideoFrame(width, height, "yuv420p")
        picture.pts = pts
        for plane in picture.planes:
            plane.update(random.bytes(plane.buffer_size))
        packets += encoder.encode(picture)
    return b"".join(bytes(packet) for packet in packets + encoder.encode(None))
