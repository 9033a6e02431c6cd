"""Allocation from files: a sensitivity table and a checkpoint in, plans and fronts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

from quaver.errors import UsageError
from quaver.lab.allocate.budgets import parse_budgets
from quaver.lab.allocate.front import METHODS
from quaver.lab.allocate.measured import measure_integers
from quaver.lab.allocate.options import Choices, build_problem
from quaver.lab.allocate.problem import Problem, Solution
from quaver.lab.allocate.scores import Scores, table_scores
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.estimate import amplification
from quaver.lab.analyse.table import SensitivityTable
from quaver.lab.costs.codec import codec_layers, skeleton_bytes
from quaver.lab.costs.layers import Layer
from quaver.lab.costs.profile import HardwareProfile, load_profile
from quaver.lab.costs.table import FULL, totals
from quaver.lab.costs.workload import Workload
from quaver.lab.manifest import clips_note, digest, sealed
from quaver.lab.models.codec import Codec
from quaver.lab.models.precision import widest
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import load_model


@dataclass(frozen=True)
class Allocation:
    """A codec with its table, ready to be allocated under any budgets. table: the hash of its rows. gains: by module,
    what the loop makes of a zeta without it."""

    codec: Codec
    choices: Choices
    profile: HardwareProfile
    budgets: Mapping[str, Fraction]
    table: str = ""
    gains: Mapping[str, float] = field(default_factory=dict)

    @property
    def problem(self) -> Problem:
        return build_problem(self.choices, self.budgets)

    @property
    def unscored(self) -> list[str]:
        """Layers that the table does not score: they keep 7 weight and 8 activation bits."""
        scored = {site for site, _, _ in self.choices.scores.layers} | set(self.choices.candidates)
        return [row.call_site for row in self.choices.layers if row.planned and row.call_site not in scored]

    def costs(self, plan: QuantPlan) -> dict[str, float]:
        """Bytes, BOPs, mean weight bits, and milliseconds."""
        layers = self.choices.layers
        found = {key: float(value) for key, value in totals(layers, plan, self.choices.fixed_bytes).items()}
        return found | {"ms": self.profile.predict(plan, layers)}

    def note(self, config: Mapping[str, Any], clips: ClipSet | None = None) -> dict[str, Any]:
        """The manifest of a plan or a front; `config`: what this object does not know, such as the method."""
        known = {
            "budgets": {key: str(limit) for key, limit in self.budgets.items()},
            "per": self.choices.per,
            "channel_points": self.choices.channel_points,
        }
        return sealed(
            {
                "command": "allocate",
                "config": known | dict(config),
                "profile": {"name": self.profile.name, "hash": digest(self.profile.to_json())},
                "model_hash": weights_hash(self.codec),
                "skeleton_hash": self.codec.skeleton.hash.hex(),
                "table_hash": self.table,
                "clips": None if clips is None else clips_note(clips),
            }
        )

    def plan(self, problem: Problem, solution: Solution, method: str, name: str = "") -> QuantPlan:
        """Frozen: the choice, where it comes from and what it is predicted to cost and lose."""
        layers = {site: problem.options[site][place].plan for site, place in solution.choice.items()}
        budget = {key: float(limit) for key, limit in self.budgets.items()}
        plan = QuantPlan(layers, name or method, weights_hash(self.codec), f"{method}, {date.today()}", budget)
        figures = self.costs(plan) | {"zeta": solution.zeta}
        if method == "ilp":
            figures |= {"gap": solution.gap} | {f"price_{key}": value for key, value in solution.prices.items()}
        return replace(plan, predicted=figures)


def prepare(
    table: Path,
    checkpoint: Path,
    budgets: Sequence[str],
    profile: str = "onnx-cpu",
    workload: Workload | None = None,
    skeleton: str = "skeleton",
    per: str = "layer",
    channel_points: int = 8,
) -> Allocation:
    """Read everything. UsageError where the table is of other weights than the checkpoint."""
    codec = read_codec(checkpoint, load_model(skeleton))
    if codec.plan is not None:
        raise UsageError(f"{checkpoint}: these weights are quantized already; allocate for those in floating point")
    found = SensitivityTable.load(table)
    return allocation_of(codec, found, budgets, profile, workload, per, channel_points)


def allocation_of(
    codec: Codec,
    table: SensitivityTable,
    budgets: Sequence[str],
    profile: str = "onnx-cpu",
    workload: Workload | None = None,
    per: str = "layer",
    channel_points: int = 8,
) -> Allocation:
    """A codec in floating point and its table, put together. UsageError where the table is of other weights."""
    if per not in ("layer", "module"):
        raise UsageError(f"--per {per}: layer and module are legal")
    scores = table_scores(table)
    own = weights_hash(codec)
    if scores.model_hash != own:
        raise UsageError(f"the table is of model {scores.model_hash[:16]}, the codec is {own[:16]}")
    machine = load_profile(profile)
    layers = codec_layers(codec, workload or Workload())
    fixed = skeleton_bytes(codec.skeleton)
    choices = Choices(layers, _in_integers(scores.believed(), layers), machine, fixed, channel_points, per=per)
    gains, common = amplification(table)
    known = {layer.network: gains.get(layer.network, common) for layer in layers}
    allocation = Allocation(codec, choices, machine, {}, table.hash, known)
    full = {key: Fraction(value) for key, value in allocation.costs(QuantPlan({})).items()}
    # Exactly, as the programme adds them: the prediction's sum of floats may lie a last bit below.
    full["ms"] = sum((Fraction(machine.milliseconds(layer, FULL)) for layer in layers), Fraction(0))
    return replace(allocation, budgets=parse_budgets(budgets, full))


def allocate(allocation: Allocation, method: str = "ilp", name: str = "") -> QuantPlan:
    """A plan that the profile runs and that keeps the budgets."""
    if method not in METHODS:
        raise UsageError(f"--method {method}: {', '.join(METHODS)} are known")
    problem = allocation.problem
    plan = allocation.plan(problem, METHODS[method](problem), method, name)
    allocation.profile.check(plan, allocation.choices.layers)
    return plan


def with_axis(allocation: Allocation, axis: str) -> Allocation:
    """The allocation with `axis` among its budgets, so far without limit, for a front."""
    return replace(allocation, budgets={**allocation.budgets, axis: allocation.budgets.get(axis, Fraction(10) ** 30)})


def measured(allocation: Allocation, plan: QuantPlan, clips: ClipSet) -> QuantPlan:
    """The plan with what its integers really lose on clips."""
    return replace(plan, measured=measure_integers(allocation.codec, clips, plan))


def _in_integers(scores: Scores, layers: Sequence[Layer]) -> Scores:
    """Without the widths that no file of Quaver's codec can have (`models.precision`)."""
    most = {layer.call_site: widest(layer.op == "pointwise", layer.shared_input) for layer in layers}

    def legal(site: str, kind: str, bits: int) -> bool:
        return site not in most or bits <= most[site]["wa".index(kind)]

    return replace(scores, layers={key: zeta for key, zeta in scores.layers.items() if legal(*key)})
