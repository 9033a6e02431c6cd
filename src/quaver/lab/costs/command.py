"""Costs from files, and profiles of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quaver.errors import UsageError
from quaver.lab.costs.codec import codec_layers, model_layers, model_plan, skeleton_bytes
from quaver.lab.costs.layers import Layer
from quaver.lab.costs.measure import Timing
from quaver.lab.costs.memory import peak_bytes
from quaver.lab.costs.profile import HardwareProfile, load_profile
from quaver.lab.costs.report import CostTable, cost_table
from quaver.lab.costs.survey import Show, survey
from quaver.lab.costs.workload import Workload
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec
from quaver.lab.models.presets import PRESETS
from quaver.lab.models.untrained import random_codec
from quaver.lab.models.weights import read_codec, weights_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import IntegerModel, load_model, model_folders


def cost_report(model: str, plan: Path | None, profile: str, workload: Workload) -> CostTable:
    """UsageError where the profile cannot run the plan, or a file is not what it should be."""
    read = _read(model, workload)
    chosen = QuantPlan.load(plan) if plan is not None else read.plan
    _check_model(chosen, read, model)
    return cost_table(read.layers, chosen, load_profile(profile), read.fixed_bytes, read.peaks)


def measure_machine(
    models: Sequence[str], sizes: Sequence[Workload], name: str, timing: Timing, show: Show
) -> HardwareProfile:
    """A profile over the layers of presets, with random weights, on which times do not depend, and of model files."""
    graphs: dict[str, IntegerModel] = {}
    for each in models:
        if _is_preset(each):
            graphs[each] = lower(random_codec(each), each)
        else:
            graphs[each] = load_model(each)
    return survey(graphs, sizes, name, timing, show)


@dataclass(frozen=True)
class _Read:
    """A model's layers, the plan it has, bytes beside the layers, its weights' hash ("" for none), and the memory that
    its networks hold at once, where that is known."""

    layers: list[Layer]
    plan: QuantPlan
    fixed_bytes: int
    weights: str = ""
    peaks: Mapping[str, int] = field(default_factory=dict)


def _read(model: str, workload: Workload) -> _Read:
    full = QuantPlan({}, "W7A8")
    preset = _is_preset(model)
    if preset or model.endswith(".safetensors"):
        skeleton = load_model("skeleton")
        codec = Codec(PRESETS[model](), skeleton) if preset else read_codec(Path(model), skeleton)
        known = "" if preset or codec.plan is not None else weights_hash(codec)
        return _Read(codec_layers(codec, workload), codec.plan or full, skeleton_bytes(skeleton), known)
    integer = load_model(model)
    peaks = {name: peak_bytes(graph, workload.map(name)) for name, graph in integer.graphs.items()}
    return _Read(model_layers(integer, workload), model_plan(integer), skeleton_bytes(integer), "", peaks)


def _is_preset(name: str) -> bool:
    """Whether a name stands for a preset, and for no model that is installed."""
    return name in PRESETS and not any((folder / f"{name}.qvm").is_file() for folder in model_folders())


def _check_model(plan: QuantPlan, read: _Read, model: str) -> None:
    """UsageError where a plan is of another model."""
    if plan.model_hash and read.weights and plan.model_hash != read.weights:
        raise UsageError(f"plan {plan.name!r} is of weights {plan.model_hash[:16]}, {model} has {read.weights[:16]}")
    known = {layer.call_site for layer in read.layers}
    unknown = sorted(site for site in plan.layers if site not in known)
    if unknown:
        raise UsageError(
            f"plan {plan.name!r} names {unknown[0]!r}, which {model} does not have: it is of another model"
        )
