"""Pictures side by side, with a part of them enlarged: to look at, so nothing here is smoothed or sharpened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.evaluate.lettering import caption
from quaver.media.frame import Frame

RGB = NDArray[np.uint8]  # (H, W, 3)

ZOOM = 3
_LARGEST = 960  # columns; wider pictures are shown at 1/2, 1/3, ...
_GAP = 12


@dataclass(frozen=True, slots=True)
class Part:
    """A rectangle of a picture, in samples."""

    top: int
    left: int
    height: int
    width: int


def worst_part(original: Frame, decoded: Sequence[Frame]) -> Part:
    """A ninth of the picture as it is shown: where all of `decoded` together lost most, in squared luma error."""
    shrink = _shrink(original.y.shape[1])
    height, width = (max(8, side // shrink // ZOOM) for side in original.y.shape)
    error = sum((frame.y.astype(np.float64) - original.y) ** 2 for frame in decoded)
    sums = np.pad(np.cumsum(np.cumsum(error, 0), 1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return Part(int(top), int(left), height, width)


def whole(frame: Frame) -> RGB:
    """The picture as it is shown."""
    rgb, shrink = frame.to_rgb(), _shrink(frame.y.shape[1])
    if shrink == 1:
        return rgb
    height, width = (side // shrink for side in rgb.shape[:2])
    cells = rgb[: height * shrink, : width * shrink].reshape(height, shrink, width, shrink, 3)
    mean: RGB = np.rint(cells.mean(axis=(1, 3))).astype(np.uint8)
    return mean


def enlarged(frame: Frame, part: Part) -> RGB:
    """The part, every sample ZOOM times as wide and high."""
    rgb = frame.to_rgb()[part.top : part.top + part.height, part.left : part.left + part.width]
    return rgb.repeat(ZOOM, 0).repeat(ZOOM, 1)


def side_by_side(pictures: Sequence[tuple[str, Frame]], part: Part) -> RGB:
    """A column per picture: its name, the whole, the part enlarged."""
    columns = []
    for name, frame in pictures:
        shown = whole(frame)
        height, width, _ = shown.shape
        detail = enlarged(frame, part)[:height, :width]
        filler = np.full((detail.shape[0], width - detail.shape[1], 3), 255, np.uint8)
        gap = np.full((_GAP, width, 3), 255, np.uint8)
        columns += [np.concatenate([caption(name, width), shown, gap, np.concatenate([detail, filler], axis=1)])]
        columns += [np.full((columns[0].shape[0], _GAP, 3), 255, np.uint8)]
    return np.concatenate(columns[:-1], axis=1)


def _shrink(width: int) -> int:
    return -(-width // _LARGEST)
