"""What a plan really loses: the codec in closed loop with the whole plan's quantizers, against the float model."""

from __future__ import annotations

from collections.abc import Iterable

from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import check_finite, run
from quaver.lab.analyse.over_time import standard_error
from quaver.lab.quant.attach import quantized
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.observers import SiteStats
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.quant.sites import observe

_LOOK = 4  # frames that scales are chosen from


def observed(adapter: CodecAdapter, clips: ClipSet, sites: Iterable[str], seed: int = 0) -> dict[str, SiteStats]:
    """What arrives at call sites in the first frames of the clips."""
    names = sorted({site.partition("@")[0] for site in sites})
    look = min(_LOOK, clips.frames)
    return observe(adapter.module, names, lambda: run(adapter, clips, look, seed), adapter.role) if names else {}


def measure_plan(
    adapter: CodecAdapter, clips: ClipSet, plan: QuantPlan, frames: int, seed: int = 0
) -> dict[str, float]:
    """zeta, its standard error over clips, and the changes of R and D that make it, each a mean over operating points.
    Measured as the analysis measures single parts, so that it compares with their sum."""
    stats = observed(adapter, clips, plan.layers, seed)
    reference = run(adapter, clips, frames, seed)
    with quantized(adapter.module, plan, Calibration(stats), role=adapter.role, weight_method="mse"):
        curves = run(adapter, clips, frames, seed)
    check_finite(curves, clips, list(adapter.lambdas), f"plan {plan.name}")
    change = curves.cost(adapter.lambdas) - reference.cost(adapter.lambdas)
    zeta = (change.mean(-1) / reference.rate.mean(-1)).mean(0)  # by clip
    found = {
        "zeta": float(zeta.mean()),
        "dR": float((curves.rate - reference.rate).mean()),
        "dD": float((curves.distortion - reference.distortion).mean()),
        "clips": float(len(clips)),
        "frames": float(frames),
    }
    return found | ({"stderr": float(standard_error(zeta))} if len(clips) > 1 else {})
