"""The score of a plan: what its integers lose against floating point, in half a minute.

zeta = (J_integer - J_float) / R_float of each clip and lambda, over frames in closed loop with the integers that ship:
to first order the BD-rate loss. Fixed crops of few frames; rank plans with it, and measure files before believing it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import Curves, check_finite, run
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.models.codec import Codec
from quaver.lab.models.weights import set_integer

QUALITIES = (12, 32, 52)


@dataclass(frozen=True)
class Score:
    """zeta: mean over clips and lambdas, a share of the rate; stderr: of that mean over clips; each: (lambdas, clips);
    d_rate: the part of zeta that is rate."""

    zeta: float
    stderr: float
    d_rate: float
    each: NDArray[np.float64]

    def __str__(self) -> str:
        return f"zeta {100 * self.zeta:+.2f} % (standard error {100 * self.stderr:.2f}, rate {100 * self.d_rate:+.2f})"


def float_curves(codec: Codec, clips: ClipSet) -> Curves:
    """What the codec costs in floating point: the baseline of every plan's score."""
    adapter = QuaverAdapter(codec, QUALITIES)
    curves = run(adapter, clips, clips.frames)
    check_finite(curves, clips, adapter.lambdas, "floating point")
    return curves


def score(codec: Codec, clips: ClipSet, baseline: Curves) -> Score:
    """Of a codec that has a plan, computing in integers."""
    adapter = QuaverAdapter(codec, QUALITIES)
    set_integer(codec, True)
    curves = run(adapter, clips, clips.frames)
    check_finite(curves, clips, adapter.lambdas, "integers")
    rate = baseline.rate.mean(-1)
    difference = (curves.cost(adapter.lambdas) - baseline.cost(adapter.lambdas)).mean(-1)
    each = difference / rate
    over_clips = each.mean(0)
    stderr = float(over_clips.std(ddof=1) / math.sqrt(len(over_clips))) if len(over_clips) > 1 else math.nan
    d_rate = float(((curves.rate.mean(-1) - rate) / rate).mean())
    return Score(float(each.mean()), stderr, d_rate, each)
