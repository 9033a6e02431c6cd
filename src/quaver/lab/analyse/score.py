"""The score of a plan: what its integers lose against floating point, in half a minute.

zeta = (J_integer - J_float) / R_float of each clip and lambda, over frames in closed loop with the integers that ship:
to first order the BD-rate loss. Fixed crops of few frames; rank plans with it, and measure files before believing it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import Curves, check_finite, run
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.models.codec import Codec

QUALITIES = (12, 32, 52)


@dataclass(frozen=True)
class Score:
    """zeta: mean over clips and lambdas, a share of the rate; stderr: of that mean over clips; each: (lambdas, clips);
    d_rate: the part of zeta that is rate; d_distortion: the mean change of D."""

    zeta: float
    stderr: float
    d_rate: float
    d_distortion: float
    each: NDArray[np.float64]

    @classmethod
    def of(cls, curves: Curves, baseline: Curves, lambdas: Sequence[float]) -> Score:
        """What `curves` cost beyond `baseline`."""
        rate = baseline.rate.mean(-1)
        each = (curves.cost(lambdas) - baseline.cost(lambdas)).mean(-1) / rate
        d_rate = float(((curves.rate.mean(-1) - rate) / rate).mean())
        d_distortion = float((curves.distortion - baseline.distortion).mean())
        return cls(float(each.mean()), stderr_over_clips(each), d_rate, d_distortion, each)

    def __sub__(self, other: Score) -> Score:
        """What this loses beyond `other` on the same clips; the standard error is that of the differences, which is
        smaller than either's where clips that suffer from one plan suffer from the other."""
        each = self.each - other.each
        rate, error = self.d_rate - other.d_rate, self.d_distortion - other.d_distortion
        return Score(float(each.mean()), stderr_over_clips(each), rate, error, each)

    def __str__(self) -> str:
        return f"zeta {100 * self.zeta:+.2f} % (standard error {100 * self.stderr:.2f}, rate {100 * self.d_rate:+.2f})"


def stderr_over_clips(each: NDArray[np.float64]) -> float:
    """Of the mean of (lambdas, clips) values; not a number for a single clip."""
    over_clips = each.mean(0)
    return float(over_clips.std(ddof=1) / math.sqrt(len(over_clips))) if len(over_clips) > 1 else math.nan


def float_curves(codec: Codec, clips: ClipSet) -> Curves:
    """What the codec costs in floating point: the baseline of every plan's score."""
    adapter = QuaverAdapter(codec, QUALITIES)
    curves = run(adapter, clips, clips.frames)
    check_finite(curves, clips, adapter.lambdas, "floating point")
    return curves


def score(codec: Codec, clips: ClipSet, baseline: Curves) -> Score:
    """Of a codec that has a plan, computing in integers."""
    adapter = QuaverAdapter(codec, QUALITIES, integer=True)
    curves = run(adapter, clips, clips.frames)
    check_finite(curves, clips, adapter.lambdas, "integers")
    return Score.of(curves, baseline, adapter.lambdas)
