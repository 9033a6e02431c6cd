"""Groups, splits and pruned channels in one programme, and plans with them in integers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from lab.analyse.toy import toy_clips
from quaver.errors import UsageError
from quaver.lab.allocate.candidates import input_stats, with_candidates, with_groups, with_pruned, with_splits
from quaver.lab.allocate.command import Allocation, allocate, allocation_of, measured
from quaver.lab.allocate.measured import calibration, measure_integers
from quaver.lab.analyse.quaver_adapter import QuaverAdapter
from quaver.lab.analyse.score import float_curves, score
from quaver.lab.lower.model import bring_to, layer_inputs, lower
from quaver.lab.models.precision import shape_for
from quaver.lab.models.untrained import random_codec
from quaver.lab.models.weights import read_codec, save_weights
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.runtime.model import load_model, save_model

from .samples import PRESET, table_of

CLIPS = toy_clips(2, 3, 32)


@pytest.fixture(scope="module")
def allocation() -> Allocation:
    """Of the inter decoder alone, which is quick; the rest keeps 7 and 8 bits."""
    torch.set_num_threads(1)
    codec = random_codec(PRESET, seed=0, spread=0.3)
    whole = allocation_of(codec, table_of(codec), [], "bit-serial")
    layers = [layer for layer in whole.choices.layers if layer.network == "inter.decoder"]
    sites = {layer.call_site for layer in layers}
    scores = {key: zeta for key, zeta in whole.choices.scores.layers.items() if key[0] in sites}
    choices = replace(whole.choices, layers=layers, scores=replace(whole.choices.scores, layers=scores))
    found = replace(whole, choices=choices)
    full = found.costs(QuantPlan({}))
    return replace(found, budgets={"bops": Fraction(full["bops"]) * 7 / 10, "bytes": Fraction(full["bytes"])})


@pytest.fixture(scope="module")
def everything(allocation: Allocation) -> Allocation:
    return with_candidates(allocation, CLIPS, (2,), (0.05, 0.2), (1 / 3, 1 / 2))


def kinds(plans: list[LayerPlan]) -> set[str]:
    found = set()
    for plan in plans:
        pruned = plan.channel_bits is not None and 0 in plan.channel_bits
        found.add(
            " ".join(word for word, has in (("groups", plan.groups), ("split", plan.split), ("pruned", pruned)) if has)
        )
    return found


def test_all_combine_in_the_programme(everything: Allocation) -> None:
    problem = everything.problem
    found = kinds([option.plan for own in problem.options.values() for option in own])
    assert found >= {"", "groups", "split", "groups split", "pruned", "groups pruned", "groups split pruned"}
    widths = {
        option.plan.weight_bits
        for own in problem.options.values()
        for option in own
        if option.plan.channel_bits and 0 in option.plan.channel_bits
    }
    assert widths == {4, 5, 6, 7}


def test_its_plan_keeps_the_budgets_and_runs(everything: Allocation, tmp_path: Path) -> None:
    plan = allocate(everything)
    assert all(plan.predicted[key] <= limit for key, limit in plan.budget.items())
    assert kinds(list(plan.layers.values())) - {""}
    plain = replace(everything, choices=replace(everything.choices, candidates={}))
    assert plan.predicted["zeta"] <= allocate(plain).predicted["zeta"]
    found = measured(everything, plan, CLIPS).measured
    assert found["clips"] == 2 and found["frames"] == 3 and {"zeta", "stderr", "dR", "dD"} <= found.keys()
    save_weights(everything.codec, tmp_path / "w.safetensors")
    codec = read_codec(tmp_path / "w.safetensors", load_model("skeleton"))
    shape_for(codec, plan)
    save_model(lower(codec, "x"), tmp_path / "x.qvm")


def test_every_option_lowers(everything: Allocation) -> None:
    """A plan of the most intricate options, not only the best one."""

    def intricate(plan: LayerPlan) -> tuple[int, ...]:
        return len(plan.split), plan.groups is not None, plan.channel_bits is not None and 0 in plan.channel_bits

    options = everything.problem.options
    plan = QuantPlan({name: max((o.plan for o in own), key=intricate) for name, own in options.items()})
    assert "groups split pruned" in kinds(list(plan.layers.values()))
    found = measure_integers(everything.codec, CLIPS, plan)
    assert all(value == value for value in found.values())


def test_measured_in_the_integers_that_ship(allocation: Allocation) -> None:
    """As `score` has it, with scales fitted to the clips; the codec stays as it is."""
    codec, plan = allocation.codec, QuantPlan.uniform([next(iter(allocation.problem.options))], 3, 4)
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    found = measure_integers(codec, CLIPS, plan)
    assert codec.plan is None
    assert all(torch.equal(value, before[name]) for name, value in codec.state_dict().items())
    own = random_codec(PRESET, seed=0, spread=0.3)
    baseline = float_curves(own, CLIPS)
    bring_to(own, plan, layer_inputs(own, *calibration(CLIPS)))
    expected = score(own, CLIPS, baseline)
    assert found["zeta"] == pytest.approx(expected.zeta) and found["stderr"] == pytest.approx(expected.stderr)
    with pytest.raises(UsageError, match="profile 1 runs 2 to 7"):
        measure_integers(codec, CLIPS, QuantPlan.uniform(list(plan.layers), 9, 8))


def test_no_option_is_wider_than_integers_are(allocation: Allocation) -> None:
    """The table scores 8 bits and the profile runs them; weights have 7 at most."""
    scores = allocation.choices.scores
    assert {bits for _, kind, bits in scores.layers if kind == "w"} == {4, 5, 6, 7}
    assert {bits for _, kind, bits in scores.layers if kind == "a"} == {4, 5, 6, 7, 8}


def test_inputs_stored_in_eight_bits_are_not_brought_to_eight_again(everything: Allocation) -> None:
    stored = {layer.call_site for layer in everything.choices.layers if layer.shared_input}
    own = [plan for site, plans in everything.choices.candidates.items() if site in stored for plan, _ in plans]
    assert own and all(plan.activation_bits != 8 for plan in own)


def test_what_is_illegal(allocation: Allocation) -> None:
    choices = allocation.choices
    stats = input_stats(QuaverAdapter(allocation.codec), CLIPS.one(0), choices.scores, choices.layers)
    for shares in ((0.0,), (1.5,), (-0.1, 0.5), ()):
        with pytest.raises(UsageError, match="shares of channels between 0 and 1"):
            with_splits(allocation, stats, shares)
        with pytest.raises(UsageError, match="shares of channels between 0 and 1"):
            with_pruned(allocation, CLIPS, shares)
    with pytest.raises(UsageError, match="numbers from 2 on"):
        with_groups(allocation, stats, (1,))
    codec = allocation.codec
    here = allocation_of(codec, table_of(codec), ["bytes=90%"])
    with pytest.raises(UsageError, match="profile 'onnx-cpu' knows no times of split channels"):
        with_candidates(here, CLIPS, split=(0.1,))
    modules = allocation_of(codec, table_of(codec), ["bytes=90%"], per="module")
    with pytest.raises(UsageError, match="not per module"):
        with_candidates(modules, CLIPS, prune=(0.5,))
