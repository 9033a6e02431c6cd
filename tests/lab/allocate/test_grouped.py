"""Groups as options."""

from __future__ import annotations

from fractions import Fraction

import torch

from quaver.lab.allocate.grouped import grouped_inputs
from quaver.lab.allocate.options import Choices, build_problem
from quaver.lab.allocate.programme import solve
from quaver.lab.allocate.scores import Scores
from quaver.lab.costs.layers import convolution
from quaver.lab.quant.observers import accumulate

LAYER = convolution("net.a.conv", (4, 8, 1, 1), (6, 6), shared_input=True)
SCORES = Scores("", {("net.a.conv", "w", 4): 0.01, ("net.a.conv", "a", 4): 1.0, ("net.a.conv", "a", 8): 0.1})


def test_wide_and_narrow_channels_part() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 4, 20, 20) * torch.tensor([1.0, 100.0, 1.0, 100.0])[:, None, None]
    found = grouped_inputs({"net.a.conv": accumulate(None, x, -3)}, SCORES, (2, 9))
    plans = {(plan.activation_bits, max(plan.groups or ()) + 1): (plan, zeta) for plan, zeta in found["net.a.conv"]}
    assert set(plans) >= {(4, 2), (8, 2)}
    plan, zeta = plans[4, 2]
    assert plan.weight_bits is None and 0 < zeta < 1

    # In the programme they are combined with every width of the weights, and pay for their entry.
    problem = build_problem(Choices([LAYER], SCORES, candidates=found), {"bops": Fraction(10**9)})
    chosen = problem.options["net.a.conv"][solve(problem).choice["net.a.conv"]]
    assert chosen.plan.weight_bits == 4 and chosen.plan.groups is not None
    tight = {"bops": min(option.costs["bops"] for option in problem.options["net.a.conv"])}
    problem = build_problem(Choices([LAYER], SCORES, candidates=found), tight)
    assert chosen.costs["bops"] > tight["bops"] >= solve(problem).costs["bops"]


def test_what_groups_do_not_help_is_left_out() -> None:
    x = torch.randn(1, 1, 20, 20).expand(1, 4, 20, 20)
    assert not grouped_inputs({"net.a.conv": accumulate(None, x, -3)}, SCORES, (2, 4))
