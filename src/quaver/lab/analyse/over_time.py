"""Sensitivity over time: how a part's cost grows from frame to frame, and how long one frame's error lives.

Pure functions over curves dJ(t) / R, with t = 0 the intra frame that opens the group of pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Curve = NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Slope:
    """Least-squares slope per frame with its 95 % interval; not a number where frames or clips are too few."""

    slope: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Impulse:
    """After an error in one frame.

    gain: the sum of dJ from that frame on, over dJ in that frame; 1 means nothing is handed on. decay: the share
    of dJ that is left a frame later.
    """

    gain: float
    decay: float


_UNKNOWN = Slope(float("nan"), float("nan"), float("nan"))


def drift(curve: Curve) -> Slope:
    """Slope of one clip's curve (T,) over frames 2..T: frame 1 is intra and of another kind. The interval is that
    of ordinary least squares, residuals independent."""
    y = np.asarray(curve, np.float64)[1:]
    if len(y) < 3:
        return _UNKNOWN
    x = np.arange(len(y)) - (len(y) - 1) / 2
    spread = float((x * x).sum())
    slope = float((x * y).sum()) / spread
    error = y - y.mean() - slope * x
    deviation = float((error @ error / (len(y) - 2) / spread) ** 0.5)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(y) - 2)) * deviation
    return Slope(slope, slope - half, slope + half)


def mean_drift(curves: Curve) -> Slope:
    """Mean slope of curves (N, T) of several clips. The interval comes from how much clips differ, which also
    covers residuals that are correlated in time; with one clip it is that clip's."""
    if len(curves) == 1:
        return drift(curves[0])
    slopes = np.array([drift(curve).slope for curve in curves])
    mean, half = float(slopes.mean()), half_width(slopes)
    return Slope(mean, mean - half, mean + half)


def half_width(values: Curve) -> float:
    """Half of the mean's 95 % interval by Student's t."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * standard_error(values)


def standard_error(values: Curve) -> float:
    """Of the mean; not a number for a single value."""
    count = len(values)
    return float(np.std(values, ddof=1)) / count**0.5 if count > 1 else float("nan")


def impulse(curve: Curve, frame: int) -> Impulse:
    """Gain and decay of a curve (T,) whose part was quantized in `frame` alone.

    Decay is the least-squares rho of x(k + 1) = rho x(k), which noise around zero does not upset as it does a
    logarithm's slope.
    """
    x = np.asarray(curve, np.float64)[frame:]
    gain = float(x.sum() / x[0]) if x[0] != 0 else float("nan")
    energy = float((x[:-1] ** 2).sum())
    return Impulse(gain, float((x[:-1] * x[1:]).sum()) / energy if energy > 0 else float("nan"))
