"""Splits as options."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from quaver.lab.allocate.options import Choices, build_problem
from quaver.lab.allocate.programme import solve
from quaver.lab.allocate.scores import Scores
from quaver.lab.allocate.split import split_inputs
from quaver.lab.costs.layers import convolution
from quaver.lab.quant.observers import SiteStats, accumulate
from quaver.lab.quant.plan import LayerPlan
from quaver.lab.quant.splitting import SplitErrors

LAYER = convolution("net.a.conv", (5, 8, 1, 1), (6, 6))
DEPTHWISE = convolution("net.a.depth", (5, 5, 9, 5), (6, 6))
SCORES = Scores("", {("net.a.conv", "w", 4): 0.01, ("net.a.conv", "a", 4): 1.0, ("net.a.conv", "a", 12): 0.1,
                     ("net.a.depth", "a", 4): 1.0})  # fmt: skip


def seen() -> SiteStats:
    torch.manual_seed(0)
    return accumulate(None, torch.randn(1, 5, 20, 20) * torch.tensor([1.0, 9.0, 1.0, 1.0, 8.0])[:, None, None])


def test_outliers_are_split_where_channels_add_up() -> None:
    stats, layers = {"net.a.conv": seen(), "net.a.depth": seen()}, [LAYER, DEPTHWISE]
    found = split_inputs(stats, SCORES, layers, (0.2, 0.21))
    assert list(found) == ["net.a.conv"]
    (one, zeta), (two, less) = found["net.a.conv"]
    assert one == LayerPlan(None, 4, split=(1,)) and two.split == (1, 4) and 0 < less < zeta < 1
    errors = SplitErrors.of(seen(), 4)
    assert zeta == pytest.approx(errors.least(None, (1,)) / errors.least())
    important = {"net.a.conv": torch.tensor([1.0, 1e-9, 1.0, 1.0, 1.0])}
    assert split_inputs(stats, SCORES, layers, (0.2,), importance=important)["net.a.conv"][0][0].split == (4,)


def test_groups_and_splits_combine_and_cost_what_they_cost() -> None:
    groups = {"net.a.conv": [(LayerPlan(None, 4, groups=(0, 1, 0, 0, 0)), 0.5)]}
    found = split_inputs({"net.a.conv": seen()}, SCORES, [LAYER], (0.2,), groups)
    plans = [plan for plan, _ in found["net.a.conv"]]
    assert [(plan.groups, plan.split) for plan in plans] == [(None, (1,)), ((0, 1, 0, 0, 0), (4,))]
    problem = build_problem(Choices([LAYER, DEPTHWISE], SCORES, candidates=found), {"bops": Fraction(10**9)})
    costs = {option.plan.split: option.costs["bops"] for option in problem.options["net.a.conv"]}
    assert costs[(1,)] == costs[(4,)] == Fraction(6, 5) * LAYER.bops(LayerPlan(4, 4)) > 0
    best = problem.options["net.a.conv"][solve(problem).choice["net.a.conv"]].plan
    assert best.activation_bits == 12  # bit operations are for free here


def test_what_splits_do_not_help_is_left_out() -> None:
    x = torch.zeros(1, 5, 20, 20)
    assert not split_inputs({"net.a.conv": accumulate(None, x)}, SCORES, [LAYER], (0.5,))
