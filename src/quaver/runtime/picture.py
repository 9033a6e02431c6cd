"""Padded pictures: what the codec predicts from and reconstructs. See docs/format/arithmetic.md, Geometry."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from quaver.media.frame import Frame, VideoFormat

ALIGNMENT = 16

Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """``y`` (Hp, Wp), ``u`` and ``v`` (Hp/2, Wp/2), uint8; Hp and Wp are multiples of 16."""

    y: Plane
    u: Plane
    v: Plane

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of 8x8 luma blocks; both are even."""
        return self.y.shape[0] // 8, self.y.shape[1] // 8

    def checksum(self) -> int:
        """CRC-32 over Y, U, V in raster order, padding included."""
        crc = 0
        for plane in (self.y, self.u, self.v):
            crc = zlib.crc32(np.ascontiguousarray(plane).data, crc)
        return crc


def padded_size(format: VideoFormat) -> tuple[int, int]:
    """(Hp, Wp): height and width rounded up to multiples of 16."""
    return -(-format.height // ALIGNMENT) * ALIGNMENT, -(-format.width // ALIGNMENT) * ALIGNMENT


def pad(frame: Frame) -> Picture:
    """Replicate the last row and column until the size is a multiple of 16."""
    height, width = padded_size(frame.format)
    return Picture(
        _replicate(frame.y, height, width),
        _replicate(frame.u, height // 2, width // 2),
        _replicate(frame.v, height // 2, width // 2),
    )


def crop(picture: Picture, format: VideoFormat, pts: int) -> Frame:
    """The visible part of a decoded picture."""
    rows, columns = format.chroma_shape
    return Frame(
        picture.y[: format.height, : format.width],
        picture.u[:rows, :columns],
        picture.v[:rows, :columns],
        pts,
        format,
    )


def _replicate(plane: Plane, height: int, width: int) -> Plane:
    missing = (0, height - plane.shape[0]), (0, width - plane.shape[1])
    return np.pad(plane, missing, mode="edge") if any(after for _, after in missing) else plane


def plain_format(width: int, height: int, rate: int = 30) -> VideoFormat:
    """A format with nothing special about it: square pixels, `rate` frames per second."""
    return VideoFormat(width, height, Fraction(rate), Fraction(1, rate))
