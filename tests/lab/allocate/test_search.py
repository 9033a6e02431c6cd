"""Bits that are real numbers while they are searched."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.analyse.toy import ToyAdapter, toy_clips
from quaver.errors import UsageError
from quaver.lab.allocate.relaxed import CostTables, Relaxed, Tape, Widths
from quaver.lab.allocate.search import Search, SearchConfig, Step
from quaver.lab.allocate.search_command import Searcher
from quaver.lab.analyse.closed_loop import AnalysisError
from quaver.lab.costs.layers import Layer, convolution
from quaver.lab.costs.workload import Workload
from quaver.lab.lower.model import lower
from quaver.lab.models.precision import shape_for
from quaver.lab.models.untrained import random_codec
from quaver.lab.models.weights import save_weights
from quaver.lab.quant.error import quantization_error
from quaver.lab.quant.plan import LayerPlan
from quaver.lab.quant.selection import choose_weight

from .samples import PRESET

SITES = ("encoder.0", "decoder.2", "context.memory")


def toy_layers() -> list[Layer]:
    shapes = ((2, 8, 16, 1), (4, 1, 9, 1), (1, 1, 9, 1))
    return [convolution(name, shape, (16, 16)) for name, shape in zip(SITES, shapes, strict=True)]


def toy_search(**settings: object) -> Search:
    torch.set_num_threads(1)
    budgets = settings.pop("budgets", None)
    config = replace(SearchConfig(steps=40, batch=2, frames=3, error_price=0.0), **settings)  # type: ignore[arg-type]
    return Search(ToyAdapter(), toy_clips(), toy_layers(), config, budgets)  # type: ignore[arg-type]


def test_between_two_widths() -> None:
    """Whole widths are those grids; between them values, costs and errors are, and their slopes are the differences."""
    widths, weight = Widths(["x"], range(2, 8), range(2, 9)), torch.randn(4, 3, 1, 1)
    grids = [choose_weight(weight, bits) for bits in range(2, 8)]
    quantizer, tape = Relaxed(widths, "w", 0, grids, Tape()), Tape()
    exact = [grid.fake_quantize(weight) for grid in grids]
    for bits in (2.0, 3.0, 3.25, 7.0):
        with torch.no_grad():
            widths.of("w").fill_(bits)
        low = min(int(bits), 6) - 2
        expected = torch.lerp(exact[low], exact[low + 1], bits - low - 2)
        assert torch.equal(quantizer(weight), expected)
    tables = {"bops": torch.arange(42.0).reshape(1, 6, 7)}
    costs = CostTables(tables, {"bops": 1.0}, {"bops": 10.0})
    with torch.no_grad():
        widths.of("w").fill_(3.5)
        widths.of("a").fill_(8.0)
    share = costs.shares(widths)["bops"]
    assert float(share.detach()) == pytest.approx((1.5 * 7 + 6 + 1) / 10)
    share.backward()  # type: ignore[no-untyped-call]
    assert float(widths.w.grad) == pytest.approx(0.7) and float(widths.a.grad) == pytest.approx(0.1)  # type: ignore[arg-type]
    assert tape.take() == 0


def test_the_error_is_relative_and_moves_what_is_quantized() -> None:
    x = torch.randn(5, requires_grad=True)
    y = (x.detach() * 1.1).requires_grad_(True)
    error = quantization_error(x, y)
    assert float(error.detach()) == pytest.approx(0.01, rel=1e-4)
    assert float(quantization_error(x * 7, y * 7).detach()) == pytest.approx(float(error.detach()), rel=1e-4)
    error.backward()  # type: ignore[no-untyped-call]
    assert x.grad is None and y.grad is not None
    assert float(quantization_error(torch.zeros(3), torch.zeros(3))) == 0


def test_a_search_whose_cost_is_no_number_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    search = toy_search(cost_price=0.1)
    whole = search.adapter.step

    def broken(*given: Any) -> Any:
        found = whole(*given)
        return found._replace(rate=found.rate * math.nan)

    monkeypatch.setattr(search.adapter, "step", broken)
    with pytest.raises(AnalysisError, match="step 1: J is not a number; clips "):
        search.run()


def test_a_price_buys_bits() -> None:
    """Without a price widths stay as they are worth; a high one leaves few operations."""
    spent = []
    for price in (0.0, 1000.0):
        search = toy_search(cost_price=price, rate=0.3)
        plans = search.run()
        spent.append(sum(layer.bops(plans[layer.call_site]) for layer in search.layers))
    full = sum(layer.bops(LayerPlan(7, 8)) for layer in search.layers)
    assert spent[0] > 0.7 * full and spent[1] < full / 4


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_budgets_are_kept(share: float) -> None:
    layers = toy_layers()
    limit = sum(layer.bops(LayerPlan(7, 8)) for layer in layers) * Fraction(share)
    search = toy_search(budgets={"bops": limit}, rate=0.2)
    plans = search.run()
    total = sum(layer.bops(plans[layer.call_site]) for layer in layers)
    assert 0.5 * limit < total <= limit
    with pytest.raises(UsageError, match="smallest widths do not keep"):
        toy_search(budgets={"bops": Fraction(1)}, steps=1).run()


def test_the_codec_is_as_it_was() -> None:
    search = toy_search(steps=2)
    module = search.adapter.module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    first = search.run()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert toy_search(steps=2).run() == first  # the same seed, the same plan


def test_what_is_illegal() -> None:
    with pytest.raises(UsageError, match="not negative"):
        SearchConfig(cost_price=-1)
    with pytest.raises(UsageError, match="this search needs 9"):
        toy_search(frames=9)


def test_a_plan_of_quavers_own_codec_lowers(tmp_path: Path) -> None:
    codec = random_codec(PRESET, seed=0)
    save_weights(codec, tmp_path / "w.safetensors")
    searcher = Searcher.load(tmp_path / "w.safetensors", toy_clips(2, 4, 32), Workload(), "onnx-cpu", "skeleton")
    steps: list[Step] = []
    plan = searcher.plan(SearchConfig(steps=3, frames=2, rate=2.0), ["bops=85%"], "mine", steps.append)
    assert len(steps) == 3 and plan.predicted["bops"] <= plan.budget["bops"] and plan.model_hash
    assert min(layer.weight_bits or 0 for layer in plan.layers.values()) < 7
    shape_for(codec, plan)
    lower(codec, "mine")
