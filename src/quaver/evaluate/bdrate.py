"""Bjontegaard delta rate: the average difference in rate at equal quality.

Source: Bjontegaard, VCEG-M33, 2001, with piecewise cubic (PCHIP) interpolation as in JCTVC-L1100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]  # (bits per pixel, PSNR in dB)


@dataclass(frozen=True, slots=True)
class Delta:
    """percent: rate of the tested codec above the anchor's; NaN where the curves overlap too little. overlap: the
    smaller share of either curve's quality range that both have."""

    percent: float
    overlap: float


def bd_rate(anchor: Sequence[Point], tested: Sequence[Point]) -> Delta:
    """Both curves need at least two points of growing quality. Refused (NaN) below half overlap."""
    from scipy.interpolate import PchipInterpolator

    curves = [_rising(points) for points in (anchor, tested)]
    if any(len(curve) < 2 for curve in curves):
        return Delta(math.nan, 0.0)
    low, high = max(curve[0][0] for curve in curves), min(curve[-1][0] for curve in curves)
    overlap = max(0.0, min((high - low) / (curve[-1][0] - curve[0][0]) for curve in curves))
    if overlap < 0.5:
        return Delta(math.nan, overlap)
    areas = [float(PchipInterpolator(*zip(*curve, strict=True)).integrate(low, high)) for curve in curves]
    return Delta((math.exp((areas[1] - areas[0]) / (high - low)) - 1) * 100, overlap)


def _rising(points: Sequence[Point]) -> list[Point]:
    """(PSNR, log rate) by growing PSNR; a point that is no better than the one before is left out."""
    curve: list[Point] = []
    for quality, rate in sorted((quality, math.log(rate)) for rate, quality in points):
        if not curve or quality > curve[-1][0] + 1e-3:
            curve.append((quality, rate))
    return curve
