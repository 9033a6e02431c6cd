"""Learned quantizers: trained with the model, frozen, stored, and the same grids when attached again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quaver.lab.quant import Learned, QuantPlan, attach, calibrate, call_sites, learn, quantized
from quaver.lab.quant.quantizers import Learn

from .toys import Recurrent, clip, model


def prepared(inputs: Learn = "lsq+") -> tuple[Recurrent, QuantPlan, Learned, Tensor]:
    toy = model()
    with torch.no_grad():
        target = toy(clip())
    sites = [f"{name}@{role}" for name in call_sites(toy) for role in ("intra", "inter")]
    plan = QuantPlan.uniform(sites, 3, 3)
    calibration = calibrate(toy, plan, lambda: toy(clip()), role=lambda: toy.role)
    # The toy's only intra frame is its first, which never reaches some layers' second call: all sites are observed.
    attached = attach(toy, plan, calibration, role=lambda: toy.role, weight_method="mse")
    return toy, plan, learn(attached, inputs), target


@pytest.mark.parametrize("inputs", ["lsq", "lsq+", "pact"])
def test_training_lowers_the_loss_and_the_grids_can_be_attached_again(inputs: Learn) -> None:
    toy, plan, learned, target = prepared(inputs)
    optimizer = torch.optim.Adam([{"params": toy.parameters()}, {"params": learned.parameters()}], 2e-3)
    losses = []
    for _ in range(15):
        loss = (toy(clip()) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    moved = [p for p in learned.parameters() if p.grad is not None and p.grad.any()]
    assert len(moved) > len(list(learned.parameters())) // 2
    with torch.no_grad():
        trained = toy(clip())
    keys = list(toy.state_dict())
    for module in toy.modules():
        assert not isinstance(module, Learned)
    fresh = model()
    fresh.load_state_dict(toy.state_dict())
    grids = learned.scales(), learned.weight_scales()
    with quantized(fresh, plan, grids[0], role=lambda: fresh.role, weight_scales=grids[1]), torch.no_grad():
        assert torch.equal(fresh(clip()), trained)
    assert keys == list(model().state_dict())


def test_weights_are_shared_by_roles_and_inputs_are_not() -> None:
    toy, _, learned, _ = prepared()
    assert set(learned.weight_scales()) == set(call_sites(toy))
    assert len(learned.scales()) == 2 * len(call_sites(toy))


def test_freezing() -> None:
    toy, _, learned, target = prepared()
    learned.freeze()
    before = {key: value.clone() for key, value in learned.state_dict().items()}
    optimizer = torch.optim.SGD([*toy.parameters(), *learned.parameters()], 0.1)
    (toy(clip()) - target).square().mean().backward()
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in learned.state_dict().items())
    learned.freeze(False)
    assert all(p.requires_grad for p in learned.parameters())


def test_checkpoints() -> None:
    toy, _, learned, _ = prepared("lsq")
    with torch.no_grad():
        for p in learned.parameters():
            p.mul_(1.25)
        expected = toy(clip())
    other, _, again, _ = prepared("lsq")
    again.load_state_dict(learned.state_dict())
    with torch.no_grad():
        assert torch.equal(other(clip()), expected)
