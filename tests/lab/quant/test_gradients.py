"""Gradients against the papers' formulas, written out and summed element by element."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quaver.lab.quant.gradients import fake_quantize, lsq, lsq_plus, pact, power_of_two_ste


def inputs(seed: int = 0) -> Tensor:
    # Wide enough for every case, and none on the edge between two.
    x = 4 * torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    return x.requires_grad_()


def upstream(x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(1))


def number(value: float) -> Tensor:
    return torch.tensor(value)


def test_fixed_grids_pass_the_gradient_where_nothing_is_clipped() -> None:
    x = inputs()
    y = fake_quantize(x, number(0.5), number(-4), number(3))
    y.backward(upstream(x))
    inside = ((x / 0.5).round() >= -4) & ((x / 0.5).round() <= 3)
    assert x.grad is not None and torch.equal(x.grad, upstream(x) * inside)
    assert 0 < inside.float().mean() < 1


@pytest.mark.parametrize("shape", [(), (1, 3, 1, 1)])
def test_lsq(shape: tuple[int, ...]) -> None:
    x = inputs()
    step = (torch.rand(shape, generator=torch.Generator().manual_seed(2)) + 0.3).requires_grad_()
    y = lsq(x, step, number(-4), number(3), 0.1)
    y.backward(upstream(x))
    ratio = (x / step).detach()
    slope = torch.where(ratio <= -4, -4.0, torch.where(ratio >= 3, 3.0, ratio.round() - ratio))
    assert step.grad is not None and x.grad is not None
    torch.testing.assert_close(step.grad, 0.1 * (upstream(x) * slope).sum_to_size(shape))
    assert torch.equal(x.grad, upstream(x) * ((ratio > -4) & (ratio < 3)))
    assert torch.equal(y, fake_quantize(x, step, number(-4), number(3)))


def test_lsq_plus() -> None:
    x = inputs()
    step, offset = number(0.5).requires_grad_(), number(-1.7).requires_grad_()
    y = lsq_plus(x, step, offset, number(0), number(15), 0.1)
    y.backward(upstream(x))
    ratio = ((x + 1.7) / 0.5).detach()
    inside = (ratio > 0) & (ratio < 15)
    slope = torch.where(ratio <= 0, 0.0, torch.where(ratio >= 15, 15.0, ratio.round() - ratio))
    assert step.grad is not None and offset.grad is not None
    torch.testing.assert_close(step.grad, 0.1 * (upstream(x) * slope).sum())
    torch.testing.assert_close(offset.grad, 0.1 * (upstream(x) * ~inside).sum())
    # The offset is a whole zero-point: 3 steps, so 0 is exact and the grid reaches from -1.5 to 6.
    assert y.min() == -1.5 and y.max() == 6
    assert not lsq_plus(number(0), step, offset, number(0), number(15)).any()


def test_pact() -> None:
    x, clip = inputs(), number(3.0).requires_grad_()
    y = pact(x, clip, number(15))
    y.backward(upstream(x))
    assert clip.grad is not None and x.grad is not None
    torch.testing.assert_close(clip.grad, (upstream(x) * (x >= 3)).sum())
    assert torch.equal(x.grad, upstream(x) * ((x >= 0) & (x < 3)))
    assert y.min() == 0 and y.max() == 3 and torch.equal(y, fake_quantize(x, number(0.2), number(0), number(15)))


def test_powers_of_two_pass_the_gradient() -> None:
    scale = torch.tensor([0.3, 0.7, 1.5]).requires_grad_()
    rounded = power_of_two_ste(scale)
    rounded.sum().backward()
    assert rounded.tolist() == [0.25, 0.5, 2.0]
    assert scale.grad is not None and scale.grad.tolist() == [1, 1, 1]
