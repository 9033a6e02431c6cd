"""Two plans on the same clips: what each loses, what they cost, and whether the difference is more than noise."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.closed_loop import Curves
from quaver.lab.analyse.score import Score
from quaver.lab.api.clips import clips_of
from quaver.lab.api.codecs import AnyCodec, adapter_of, check_plan, cost_layers, layers_of, own_codec
from quaver.lab.api.precision import code, in_integers, inputs_of
from quaver.lab.api.recipes import simulated
from quaver.lab.costs.codec import skeleton_bytes
from quaver.lab.costs.profile import load_profile
from quaver.lab.costs.table import FULL, totals
from quaver.lab.display import html_table, percent, text_table
from quaver.lab.manifest import manifest
from quaver.lab.quant.plan import QuantPlan

_SHOWN = 12  # layers that a terminal shows

# Rows of costs: what a plan's key is called, in which unit, written how.
_COSTS = {
    "avg_bits": ("mean weight bits", 1.0, ".2f"),
    "bytes": ("model file, KB", 1e3, ",.1f"),
    "bops": ("GBOP a frame", 1e9, ",.4g"),
    "ms": ("ms a frame, predicted", 1.0, ",.2f"),
}


@dataclass(frozen=True, repr=False)
class Comparison:
    """plans, scores, costs: of both, in this order. `difference`: the second less the first, clip by clip. layers: call
    sites that differ, as `QuantPlan.diff` has them. manifest: what all of this depends on.

    Prints as tables, in a notebook too.
    """

    plans: tuple[QuantPlan, QuantPlan]
    scores: tuple[Score, Score]
    costs: tuple[Mapping[str, float], Mapping[str, float]]
    layers: Mapping[str, tuple[str, str]]
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def difference(self) -> Score:
        return self.scores[1] - self.scores[0]

    def __repr__(self) -> str:
        changes = self._changes()
        shown = changes[:_SHOWN]
        more = f"\nand {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        return f"{text_table(*self._figures())}\n\n{text_table(*self._layers(shown))}{more}"

    def _repr_html_(self) -> str:
        head, rows, caption = self._layers(self._changes())
        layers = f"<details><summary>{html.escape(caption)}</summary>{html_table(head, rows)}</details>"
        return html_table(*self._figures()) + layers

    def _figures(self) -> tuple[list[str], list[list[str]], str]:
        first, second = self.plans
        each = (*self.scores, self.difference)
        rows = [
            ["ζ = ΔJ / R", *(percent(score.zeta) for score in each)],
            ["standard error over clips", *(percent(score.stderr).lstrip("+") for score in each)],
            ["ΔR / R", *(percent(score.d_rate) for score in each)],
            ["ΔD", *(f"{score.d_distortion:+.3f}" for score in each)],
        ]
        for key, (name, unit, style) in _COSTS.items():
            if all(key in costs for costs in self.costs):
                a, b = (costs[key] / unit for costs in self.costs)
                rows.append([name, f"{a:{style}}", f"{b:{style}}", f"{b - a:+{style}}"])
        shape = self.manifest.get("clips", {}).get("shape", ["?"] * 4)
        points = len(self.manifest.get("lambdas", ()))
        caption = f"{first.name} {first.hash} and {second.name} {second.hash}, against floating point: "
        caption += f"{shape[0]} clips of {shape[1]} frames, {shape[3]}x{shape[2]}, {points} λ"
        return ["", first.name, second.name, "difference"], rows, caption

    def _layers(self, changes: list[list[str]]) -> tuple[list[str], list[list[str]], str]:
        kinds = Counter(self.layers.values())
        count = ", ".join(f"{number} from {a} to {b}" for (a, b), number in kinds.most_common(3))
        caption = f"{sum(kinds.values())} layers differ" + (f": {count}" if count else "")
        caption += " and others" if len(kinds) > 3 else ""
        return ["layer", self.plans[0].name, self.plans[1].name], changes, caption

    def _changes(self) -> list[list[str]]:
        return [[name, a, b] for name, (a, b) in self.layers.items()]


def compare(codec: AnyCodec, first: QuantPlan, second: QuantPlan, clips: ClipSet | None = None) -> Comparison:
    """Code the same clips in floating point and under both plans.

    Quaver's codec computes in the integers that ship, scales fitted to the clips and nothing trained; others in
    simulation. Costs are those of `quaver costs` (a 640x360 video on profile onnx-cpu); of others bytes of weights and
    bit operations of a frame.
    """
    for plan in (first, second):
        check_plan(codec, plan)
    clips = clips or clips_of(count=4)
    adapter = adapter_of(codec)
    note = manifest(adapter, clips, {"compare": [first.hash, second.hash]})
    floating = code(codec, clips)
    curves = _both(codec, first, second, clips)
    scores = tuple(Score.of(each, floating, adapter.lambdas) for each in curves)
    figures = tuple(_costs(codec, plan, clips) for plan in (first, second))
    layers = _whole(codec, first).diff(_whole(codec, second))
    return Comparison((first, second), (scores[0], scores[1]), (figures[0], figures[1]), layers, note)


def _whole(codec: AnyCodec, plan: QuantPlan) -> QuantPlan:
    """Layers of Quaver's codec that the plan does not name have what they run with."""
    if own_codec(codec) is None:
        return plan
    return replace(plan, layers=dict.fromkeys(layers_of(codec), FULL) | dict(plan.layers))


def _both(codec: AnyCodec, first: QuantPlan, second: QuantPlan, clips: ClipSet) -> list[Curves]:
    own, curves = own_codec(codec), []
    inputs = None if own is None else inputs_of(own, clips)
    for plan in (first, second):
        if own is not None and inputs is not None:
            with in_integers(own, plan, inputs):
                curves.append(code(codec, clips))
        else:
            with simulated(adapter_of(codec), plan, clips):
                curves.append(code(codec, clips))
    return curves


def _costs(codec: AnyCodec, plan: QuantPlan, clips: ClipSet) -> dict[str, float]:
    own, layers = own_codec(codec), cost_layers(codec, clips)
    found = {
        key: float(value) for key, value in totals(layers, plan, skeleton_bytes(own.skeleton) if own else 0).items()
    }
    if own is not None:
        machine = load_profile("onnx-cpu")
        machine.check(plan, layers)
        found["ms"] = machine.predict(plan, layers)
    return found
