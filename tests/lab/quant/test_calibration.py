"""Scales from statistics, for call sites with and without roles."""

from __future__ import annotations

import pytest
import torch

from quaver.errors import UsageError
from quaver.lab.quant.calibration import Calibration
from quaver.lab.quant.observers import accumulate
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.quant.selection import choose


def seen(top: float, negative: bool = False) -> torch.Tensor:
    return torch.linspace(-top if negative else 0, top, 32).reshape(1, 2, 4, 4)


def test_scales_are_those_of_the_plan_and_chosen_once() -> None:
    stats = {"a": accumulate(None, seen(1)), "b@intra": accumulate(None, seen(4)), "b@inter": accumulate(None, seen(2))}
    calibration = Calibration(stats, "minmax")
    plan = QuantPlan({"a": LayerPlan(8, 4), "b": LayerPlan(8, 8), "c": LayerPlan(8, 8)})
    scales = calibration.scales(plan)
    assert sorted(scales) == ["a", "b@inter", "b@intra"] and scales["a"].bits == 4
    assert float(scales["b@intra"].scale) == pytest.approx(4 / 255)
    assert calibration.scale("a", plan.layer("a")) is scales["a"]
    # Without a role: all of them; a role that was not told apart: the layer's.
    assert float(calibration.scale("b", LayerPlan(None, 8)).scale) == pytest.approx(4 / 255)
    assert calibration.scale("a@inter", LayerPlan(None, 4)).scale == scales["a"].scale
    with pytest.raises(UsageError, match="c: it was not observed"):
        calibration.scale("c", plan.layer("c"))
    with pytest.raises(UsageError, match="floating point"):
        calibration.scale("a", LayerPlan(8, None))


def test_options_reach_the_choice() -> None:
    stats = accumulate(None, seen(3, negative=True))
    calibration = Calibration({"a": stats}, "percentile", power_of_two=True, symmetric=True, percent=90)
    layer = LayerPlan(None, 5, None, (0, 1), (1,))
    expected = choose(stats, 5, "percentile", (0, 1), True, symmetric=True, split=(1,), percent=90)
    scale = calibration.scale("a", layer)
    assert torch.equal(scale.scale, expected.scale) and torch.equal(scale.zero, expected.zero)
    assert scale.split is not None and scale.split.tolist() == [False, True]
