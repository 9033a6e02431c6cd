"""What a plan really loses in closed loop, against the float model: of Quaver's codec in the integers that ship, of
other people's with the whole plan's quantizers."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch

from quaver.lab.analyse.adapter import CodecAdapter
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import Curves, check_finite, run
from quaver.lab.analyse.over_time import standard_error
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.score import QUALITIES
from quaver.lab.lower.model import bring_to, layer_inputs
from quaver.lab.models.codec import Codec
from quaver.lab.quant.attach import quantized
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.observers import SiteStats
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.quant.sites import observe
from quaver.lab.train.objective import Sequence
from quaver.lab.train.recipes import Stage

_LOOK = 4  # frames that scales are fitted to


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
    return _figures(adapter, clips, curves, reference, f"plan {plan.name}")


def measure_integers(codec: Codec, clips: ClipSet, plan: QuantPlan, seed: int = 0) -> dict[str, float]:
    """The same figures of Quaver's codec in the integers that the plan ships in, with scales fitted to the clips' first
    frames as `calibration` has them. UsageError names the layer and rule where no integers can run the plan."""
    adapter = QuaverAdapter(codec, QUALITIES)
    reference = run(adapter, clips, clips.frames, seed)
    whole = copy.deepcopy(codec)
    bring_to(whole, plan, layer_inputs(codec, *calibration(clips)))
    curves = run(QuaverAdapter(whole, QUALITIES, integer=True), clips, clips.frames, seed)
    return _figures(adapter, clips, curves, reference, f"plan {plan.name} in integers")


def calibration(clips: ClipSet) -> tuple[list[Sequence], Stage]:
    """The first frames of clips at each quality, and how they are run to see what layers read."""
    y, u, v = (torch.from_numpy(plane[:, :_LOOK].copy()) for plane in (clips.y, clips.u, clips.v))
    stage = Stage("calibration", 1, _LOOK, encoder=True)
    return [Sequence(y, u, v, torch.full((len(clips),), quality)) for quality in QUALITIES], stage


def _figures(adapter: CodecAdapter, clips: ClipSet, curves: Curves, reference: Curves, what: str) -> dict[str, float]:
    check_finite(curves, clips, list(adapter.lambdas), what)
    change = curves.cost(adapter.lambdas) - reference.cost(adapter.lambdas)
    zeta = (change.mean(-1) / reference.rate.mean(-1)).mean(0)  # by clip
    found = {
        "zeta": float(zeta.mean()),
        "dR": float((curves.rate - reference.rate).mean()),
        "dD": float((curves.distortion - reference.distortion).mean()),
        "clips": float(len(clips)),
        "frames": float(curves.rate.shape[-1]),
    }
    return found | ({"stderr": float(standard_error(zeta))} if len(clips) > 1 else {})
