"""What a video is made of inside Quaver: 8-bit 4:2:0 pictures and the facts needed to show them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from quaver.errors import MediaError

Plane = NDArray[np.uint8]

MIN_SIDE, MAX_SIDE, MAX_SAMPLES = 16, 16384, 1 << 26


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """Geometry, timing and colour of a video.

    ``width``, ``height``: luma samples, 16 to 16384 each, at most 2**26 together.
    ``frame_rate``: nominal frames per second. ``time_base``: the unit of ``Frame.pts`` in seconds.
    ``primaries``, ``transfer``, ``matrix``: ITU-T H.273 code points, 2 means unspecified.
    ``chroma_location``: H.273 ChromaLocType, 0 left, 1 centre, 2 top-left.
    ``rotation``: degrees clockwise to turn the picture by for display, 0, 90, 180 or 270.
    """

    width: int
    height: int
    frame_rate: Fraction
    time_base: Fraction
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool = False
    chroma_location: int = 1
    sample_aspect: Fraction = Fraction(1)
    rotation: int = 0

    def __post_init__(self) -> None:
        check_size(self.width, self.height)

    @property
    def chroma_shape(self) -> tuple[int, int]:
        """(rows, columns) of U and of V; odd luma sizes round up."""
        return (self.height + 1) // 2, (self.width + 1) // 2


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture: ``y`` (H, W), ``u`` and ``v`` ((H+1)//2, (W+1)//2), uint8; ``pts`` in time-base units."""

    y: Plane
    u: Plane
    v: Plane
    pts: int
    format: VideoFormat

    def to_rgb(self) -> NDArray[np.uint8]:
        """Display RGB (H, W, 3), uint8, by the format's matrix and range.

        Unspecified matrices are taken as BT.601 up to 576 lines and BT.709 above; chroma is repeated, not
        interpolated. Source: ITU-T H.273, equations for MatrixCoefficients 1, 5, 6 and 9.
        """
        height, width = self.y.shape
        kr, kb = _luma_weights(self.format.matrix, height)
        luma, chroma, offset = (255.0, 255.0, 0.0) if self.format.full_range else (219.0, 224.0, 16.0)
        y = (self.y.astype(np.float32) - offset) / luma
        cb, cr = (
            (np.repeat(np.repeat(p, 2, 0), 2, 1)[:height, :width].astype(np.float32) - 128) / chroma
            for p in (self.u, self.v)
        )
        red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
        green = (y - kr * red - kb * blue) / (1 - kr - kb)
        rgb = np.stack([red, green, blue], axis=-1) * 255
        result: NDArray[np.uint8] = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
        return result


def check_size(width: int, height: int) -> None:
    """Raise MediaError for a picture size that Quaver does not support."""
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE or width * height > MAX_SAMPLES:
        raise MediaError(
            f"picture size {width}x{height} is not supported: each side must be {MIN_SIDE} to {MAX_SIDE}"
            f" and the area at most {MAX_SAMPLES} samples"
        )


def _luma_weights(matrix: int, height: int) -> tuple[float, float]:
    """(Kr, Kb) of a colour matrix."""
    if matrix == 1 or (matrix == 2 and height > 576):
        return 0.2126, 0.0722
    if matrix in (9, 10):
        return 0.2627, 0.0593
    return 0.299, 0.114
