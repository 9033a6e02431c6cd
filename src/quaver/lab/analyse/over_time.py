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
    of dJ that is left a frame later. Each with its 95 % interval. Not numbers where they are not known.
    """

    gain: float
    decay: float
    gain_low: float = float("nan")
    gain_high: float = float("nan")
    decay_low: float = float("nan")
    decay_high: float = float("nan")


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


def impulse(curve: Curve, frame: int, floor: float) -> Impulse:
    """Gain and decay of a curve (T,) whose part was quantized in `frame` alone, without intervals.

    floor: what noise reaches in a single frame. Unless dJ in `frame` is above it, or where it is not a number, nothing
    is known: there was no impulse to follow, and the quotient would be one of two noises. Decay is the least-squares
    rho of x(k + 1) = rho x(k), which noise around zero does not upset as it does a logarithm's slope.
    """
    x = np.asarray(curve, np.float64)[frame:]
    if not x[0] > max(floor, 0.0):
        return Impulse(float("nan"), float("nan"))
    return Impulse(float(x.sum() / x[0]), float((x[:-1] * x[1:]).sum() / (x[:-1] ** 2).sum()))


def mean_impulse(curves: Curve, frame: int, floor: float) -> Impulse:
    """Of the mean of curves (N, T) of several clips; floor: the mean's.

    The intervals come from leaving out one clip at a time (jackknife, Student's t), since gain and decay are quotients
    of means. There is none for one clip, nor where without some clip nothing would be left of the impulse.
    """
    whole, count = impulse(curves.mean(0), frame, floor), len(curves)
    if count == 1 or np.isnan(whole.gain):
        return whole
    less = [impulse(np.delete(curves, clip, 0).mean(0), frame, 0.0) for clip in range(count)]
    # Means that share all but one clip differ N - 1 times less than clips do.
    gain, decay = (
        (count - 1) * half_width(np.array(values))
        for values in ([each.gain for each in less], [each.decay for each in less])
    )
    return Impulse(
        whole.gain, whole.decay, whole.gain - gain, whole.gain + gain, whole.decay - decay, whole.decay + decay
    )
