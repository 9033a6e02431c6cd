"""Samples to and from FFmpeg's frames, whose rows may be longer than the picture and whose sizes may be odd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import av
import numpy as np

from quaver.errors import MediaError
from quaver.media.frame import Plane, VideoFormat

NATIVE = ("yuv420p", "yuvj420p")  # copied as they are
SAME_SAMPLES = (*NATIVE, "nv12", "nv21")  # 8-bit 4:2:0 in another order: converting loses nothing
_LIMITED, _FULL = 1, 2  # AVColorRange
_BT709, _BT601 = 1, 5  # SWS_CS_*


def is_rgb(picture: av.VideoFrame) -> bool:
    """Whether the samples are red, green and blue (or a palette of them)."""
    return bool(picture.format.is_rgb) or picture.format.name in ("pal8", "monow", "monob")


def is_full_range(picture: av.VideoFrame) -> bool:
    """Whether the 4:2:0 picture made of `picture` spans 0..255; RGB is converted to limited range."""
    return not is_rgb(picture) and (picture.color_range == _FULL or picture.format.name.startswith("yuvj"))


def rgb_matrix(height: int) -> int:
    """The H.273 matrix that RGB of so many lines is converted with: BT.601 up to 576, BT.709 above."""
    return 1 if height > 576 else 6


def planes_of(picture: av.VideoFrame) -> tuple[Plane, Plane, Plane]:
    """Y (H, W), U and V ((H+1)//2, (W+1)//2), copied; anything but 8-bit 4:2:0 is converted by swscale.

    Raises MediaError for a picture that is stored bottom up and cannot be copied safely.
    """
    if picture.format.name not in NATIVE:
        picture = _converted(picture)
    chroma = (picture.height + 1) // 2, (picture.width + 1) // 2
    shapes = (picture.height, picture.width), chroma, chroma
    y, u, v = (_samples(plane, rows, columns) for plane, (rows, columns) in zip(picture.planes, shapes, strict=True))
    return y, u, v


def picture_of(planes: Sequence[Plane], video_format: VideoFormat) -> av.VideoFrame:
    """An FFmpeg yuv420p frame with a copy of the planes and the colour tags of the format."""
    picture = av.VideoFrame(video_format.width, video_format.height, "yuv420p")
    for target, samples in zip(picture.planes, planes, strict=True):
        rows = np.zeros((target.height, target.line_size), np.uint8)
        rows[:, : samples.shape[1]] = samples
        target.update(rows.tobytes())
    tag(picture, video_format)
    return picture


def tag(target: Any, video_format: VideoFormat) -> None:
    """Write primaries, transfer, matrix and range on an FFmpeg frame or codec context."""
    target.color_primaries = video_format.primaries
    target.color_trc = video_format.transfer
    target.colorspace = video_format.matrix
    target.color_range = _FULL if video_format.full_range else _LIMITED


def _samples(plane: av.video.plane.VideoPlane, rows: int, columns: int) -> Plane:
    stride = plane.line_size
    if stride < columns or plane.buffer_size < rows * stride:
        raise MediaError(f"rows of {stride} bytes for {columns} samples are not supported")
    return np.frombuffer(plane, np.uint8, rows * stride).reshape(rows, stride)[:, :columns].copy()


def _converted(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture as yuv420p: same matrix and range for YUV, see `rgb_matrix` for RGB."""
    full = _FULL if is_full_range(picture) else _LIMITED
    colours: dict[str, int] = {"src_color_range": full, "dst_color_range": full}
    if is_rgb(picture):
        matrix = _BT709 if rgb_matrix(picture.height) == 1 else _BT601
        colours = {"src_color_range": _FULL, "dst_color_range": _LIMITED, "dst_colorspace": matrix}
    return picture.reformat(format="yuv420p", interpolation="BICUBIC", **colours)
