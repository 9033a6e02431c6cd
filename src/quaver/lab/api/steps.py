"""Analyse, allocate, cost, quantize: the commands' work on objects in place of files."""

from __future__ import annotations

from collections.abc import Sequence as Series
from fractions import Fraction
from pathlib import Path
from typing import Any

from quaver.errors import UsageError
from quaver.lab.allocate import command
from quaver.lab.allocate.budgets import parse_budgets
from quaver.lab.allocate.candidates import input_candidates, with_candidates
from quaver.lab.allocate.front import METHODS
from quaver.lab.allocate.options import Candidates, Choices, build_problem
from quaver.lab.allocate.roles import in_roles
from quaver.lab.allocate.scores import table_scores
from quaver.lab.analyse.analysis import Announce, Show
from quaver.lab.analyse.analysis import analyse as analyse_adapter
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.analyse.config import AnalyseConfig
from quaver.lab.analyse.table import SensitivityTable
from quaver.lab.api.clips import clips_of
from quaver.lab.api.codecs import AnyCodec, adapter_of, check_plan, cost_layers, own_codec
from quaver.lab.api.precision import brought
from quaver.lab.costs.codec import codec_layers, skeleton_bytes
from quaver.lab.costs.profile import load_profile
from quaver.lab.costs.report import CostTable, cost_table
from quaver.lab.costs.table import totals
from quaver.lab.costs.workload import Workload
from quaver.lab.lower.model import lower
from quaver.lab.lower.refine import Refinement
from quaver.lab.manifest import model_hash
from quaver.lab.quant.plan import QuantPlan
from quaver.runtime.model import IntegerModel


def analyse(
    codec: AnyCodec,
    clips: ClipSet | None = None,
    *,
    out: Path | str | None = None,
    processes: int = 0,
    announce: Announce = lambda estimate: None,
    show: Show = lambda progress: None,
    **config: Any,
) -> SensitivityTable:
    """What each part of a codec in floating point loses at low precision: docs/laboratory/sensitivity.md.

    config: fields of `AnalyseConfig`, such as level="layer", bits=(4, 8), only=("inter.decoder.*",). out: a folder for
    table, report, manifest, and what resumes an interrupted run. Clips must hold the most frames that are asked for
    (`drift_frames`, 32 unless said otherwise).
    """
    chosen = AnalyseConfig(**config)
    own = own_codec(codec)
    if own is not None and own.plan is not None:
        raise UsageError(f"these weights compute in integers, as plan {own.plan.name!r} says; analyse those before")
    clips = clips or clips_of(frames=chosen.longest)
    folder = None if out is None else Path(out)
    return analyse_adapter(adapter_of(codec), clips, chosen, folder, processes, None, announce, show)


def allocate(
    codec: AnyCodec,
    table: SensitivityTable,
    *budgets: str,
    method: str = "ilp",
    name: str = "",
    profile: str = "onnx-cpu",
    clips: ClipSet | None = None,
    groups: Series[int] = (),
    split: Series[float] = (),
    prune: Series[float] = (),
) -> QuantPlan:
    """The plan that loses least under budgets such as "avg_bits=4", "bytes=60%" (of W7A8): docs/laboratory/costs.md.

    groups: numbers of groups of input channels; split, prune: shares of input channels in two halves, of output
    channels that go. They are options beside plain widths, and `clips` show what channels hold; to prune, take a dozen.
    For other people's codecs budgets are bytes, bops and avg_bits; `clips` show which layers a frame calls how often. A
    layer that is called in several roles has one width of its weights, and inputs of their own in each. Nothing of them
    can be pruned: shapes shrink in Quaver's graphs.
    UsageError names a budget that cannot be kept, with the smallest value that can.
    """
    if not budgets:
        raise UsageError("no budget is given: 'avg_bits=4', for example, or 'bytes=60%'")
    own = own_codec(codec)
    if own is not None:
        found = command.allocation_of(own, table, budgets, profile)
        if groups or split or prune:
            shown = clips or (clips_of(count=12, frames=4, size=96) if prune else clips_of())
            found = with_candidates(found, shown, groups, split, prune)
        return command.allocate(found, method, name)
    if prune:
        raise UsageError("prune: channels leave the graphs of Quaver's own codec alone; other codecs keep their shapes")
    if method not in METHODS:
        raise UsageError(f"method {method!r}: {', '.join(METHODS)} are known")
    scores, weights = table_scores(table), model_hash(adapter_of(codec).module)
    if scores.model_hash != weights:
        raise UsageError(f"the table is of model {scores.model_hash[:16]}, the codec is {weights[:16]}")
    looked = clips or clips_of(count=1, frames=2, size=128)
    layers = cost_layers(codec, looked)
    limits = parse_budgets(budgets, totals(layers, QuantPlan({})))
    by_role, ties = in_roles(scores.believed(), layers)
    options: Candidates = {}
    if groups or split:
        options = input_candidates(adapter_of(codec), looked, by_role, layers, groups, split)
    problem = build_problem(Choices(layers, by_role, candidates=options, ties=ties), limits)
    solution = METHODS[method](problem)
    chosen = {site: problem.options[site][place].plan for site, place in solution.choice.items()}
    predicted = {"zeta": solution.zeta} | {key: float(value) for key, value in solution.costs.items()}
    return QuantPlan(chosen, name or method, weights, method, _floats(limits), predicted)


def costs(
    codec: AnyCodec,
    plan: QuantPlan | None = None,
    *,
    profile: str = "onnx-cpu",
    workload: Workload | None = None,
) -> CostTable:
    """Multiplications, bit operations, bytes and milliseconds of Quaver's codec, by default at W7A8; of others see
    `compare`, which counts what a machine's profile need not know."""
    own = own_codec(codec)
    if own is None:
        raise UsageError("milliseconds need a profile of the codec's layers; compare() counts operations and bytes")
    chosen = plan or own.plan or QuantPlan({}, "W7A8")
    check_plan(codec, chosen)
    layers = codec_layers(own, workload or Workload())
    return cost_table(layers, chosen, load_profile(profile), skeleton_bytes(own.skeleton))


def quantize(
    codec: AnyCodec, plan: QuantPlan, clips: ClipSet | None = None, name: str = "", **refinement: Any
) -> IntegerModel:
    """Quaver's codec as the integer model that encodes and decodes, with scales fitted to clips; `save_model` writes
    it. refinement: fields of `Refinement`, such as bias_correction=True, rounding="loss", fitted to the clips too. The
    codec stays as it is. A plan that no integers can run is a UsageError that names layer and rule."""
    own = own_codec(codec)
    if own is None:
        raise UsageError("only Quaver's own codec lowers to integers; others run in simulation: quantized()")
    check_plan(own, plan)
    return lower(brought(own, plan, clips or clips_of(), Refinement.of(refinement)), name or plan.name)


def _floats(values: dict[str, Fraction]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items()}
