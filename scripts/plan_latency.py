"""Milliseconds of a plan's networks in a mean frame that is decoded at 640x360: predicted, and measured in turns.

Both depend on the plan alone, not on what its weights were trained to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quaver.lab.costs.codec import codec_layers
from quaver.lab.costs.measure import Timing, graph_ms
from quaver.lab.costs.profile import HardwareProfile
from quaver.lab.costs.workload import Workload
from quaver.lab.lower.model import lower
from quaver.lab.models.precision import shape_for
from quaver.lab.models.weights import read_codec
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import IntegerModel, load_model

WORKLOAD, TURNS = Workload(), 5


def shaped(checkpoint: Path, plan: QuantPlan) -> IntegerModel:
    """A model with the plan's graphs; an empty plan is W7A8."""
    codec = read_codec(checkpoint, load_model("skeleton"))
    shape_for(codec, plan)
    return lower(codec, "plan")


def networks_predicted(checkpoint: Path, plan: QuantPlan, profile: HardwareProfile) -> float:
    layers = codec_layers(read_codec(checkpoint, load_model("skeleton")), WORKLOAD)
    return profile.predict(plan, [row for row in layers if not row.call_site.startswith("skeleton.")])


def networks_ms(models: Sequence[IntegerModel], turns: int = TURNS) -> list[float]:
    """Of each model, network by network in turns, the fastest turn; one thread, its processor time."""
    timing = Timing(1, 7)
    totals = [0.0] * len(models)
    for key in models[0].graphs:
        share = float(WORKLOAD.share(key))
        if not share:
            continue
        best = [float("inf")] * len(models)
        for _ in range(turns):
            for number, model in enumerate(models):
                best[number] = min(best[number], graph_ms(model.graphs[key], WORKLOAD.map(key), timing))
        totals = [total + share * ms for total, ms in zip(totals, best, strict=True)]
    return totals
