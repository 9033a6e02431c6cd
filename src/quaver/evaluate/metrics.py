"""PSNR of 8-bit 4:2:0 frames, as docs and results use it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from quaver.media.frame import Frame, Plane

_SMALLEST_ERROR = 1e-3  # of a plane's mean squared error: equal planes count as 78.1 dB


def psnr(reference: Plane, decoded: Plane) -> float:
    """10 log10(255^2 / MSE) in dB."""
    difference = reference.astype(np.int32) - decoded
    return 10 * math.log10(255**2 / max(_SMALLEST_ERROR, float((difference * difference).mean())))


@dataclass(frozen=True, slots=True)
class Quality:
    """One frame's PSNR in dB."""

    y: float
    u: float
    v: float

    @property
    def psnr_611(self) -> float:
        return (6 * self.y + self.u + self.v) / 8


def compare(reference: Frame, decoded: Frame) -> Quality:
    """PSNR of each plane."""
    return Quality(psnr(reference.y, decoded.y), psnr(reference.u, decoded.u), psnr(reference.v, decoded.v))


def mean_quality(frames: Iterable[Quality]) -> tuple[float, float]:
    """(psnr_y, psnr_611): means over frames."""
    qualities = list(frames)
    count = len(qualities)
    return sum(q.y for q in qualities) / count, sum(q.psnr_611 for q in qualities) / count
