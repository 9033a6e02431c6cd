"""Rounding by loss: better than to the nearest code, on the same codes' neighbours, and the model stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.quant import QuantPlan, WeightGrids, attach, call_sites, round_by_loss
from quaver.lab.quant.rounding import SoftRounding
from quaver.lab.quant.selection import choose_weight

from .toys import clip, model


def test_soft_weights_start_where_the_weights_are() -> None:
    weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    scale = choose_weight(weight, (4, 4, 0, 8))
    soft = SoftRounding(weight, scale)
    step = scale.grid(4)[0]
    kept = torch.tensor([0, 1, 3])
    # Shares are kept 1 % away from both codes, where the sigmoid would be flat.
    assert ((soft(weight) - weight)[kept].abs() <= 0.011 * step[kept]).all() and not soft(weight)[2].any()
    nearest = scale.quantize(weight)
    assert torch.equal(soft.codes()[kept], nearest[kept])


@pytest.mark.parametrize(
    "grids",
    [WeightGrids(), WeightGrids(per="tensor"), WeightGrids("mse", 4, affine=True), WeightGrids("mse", "tensor", True)],
    ids=repr,
)
def test_rounding_by_loss(grids: WeightGrids) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8))
    # Inputs that vary together, so that errors of several weights can make up for each other.
    x = torch.randn(200, 4) @ torch.randn(4, 16) + 0.3 * torch.randn(200, 16)
    target = layers(x).detach()

    def loss() -> Tensor:
        return (layers(x) - target).square().mean()

    before = {name: p.clone() for name, p in layers.named_parameters()}
    attached = attach(layers, QuantPlan.uniform(["0", "2"], 3, None), {}, weight_grids=grids)
    nearest = {site: attached.weight_codes(site) for site in attached.sites}
    done = round_by_loss(attached, loss, steps=100)
    assert done.kept and done.after < 0.5 * done.before and 0 < done.changed < 0.5
    assert float(loss().detach()) == pytest.approx(done.after)
    for site, (codes, scale) in nearest.items():
        now, grid = attached.weight_codes(site)
        assert torch.equal(grid.scale, scale.scale) and (now - codes).abs().max() <= 1
        assert now.min() >= float(grid.low.min()) and now.max() <= float(grid.high.max()) and grid.bits == 3
        assert torch.equal(now, now.round())
    for name, p in layers.named_parameters():
        assert torch.equal(p, before[name]) and p.grad is None
    attached.detach()
    assert float(loss().detach()) == 0


def test_recurrent_layers_are_rounded_over_all_their_calls() -> None:
    toy, frames = model(), clip(frames=3)
    target = toy(frames).detach()
    attached = attach(toy, QuantPlan.uniform(call_sites(toy), 4, None), {}, weight_method="mse")
    softened = []
    toy.enter.register_forward_pre_hook(lambda layer, _: softened.append(layer.weight))
    round_by_loss(attached, lambda: (toy(frames) - target).square().mean(), steps=3, biases=False)
    assert len(softened) == (1 + 1 + 3 + 1) * 3 and not attached.biases
    assert all(p.grad is None for p in toy.parameters())


def test_a_rounding_that_is_not_better_is_not_kept() -> None:
    toy, frames = model(), clip(frames=1)
    attached = attach(toy, QuantPlan.uniform(["enter"], 4, None), {})
    with torch.no_grad():
        output = toy(frames)
    nearest, _ = attached.weight_codes("enter")
    done = round_by_loss(attached, lambda: -(toy(frames) - output).square().mean(), 5, check=lambda: torch.ones(()))
    assert not done.kept and done.changed == 0 and torch.equal(attached.weight_codes("enter")[0], nearest)
    assert not attached.biases
    with pytest.raises(UsageError, match="no call site"):
        round_by_loss(attached, lambda: torch.zeros(()), sites=[])
    attached.detach()
