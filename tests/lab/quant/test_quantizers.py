"""Quantizer modules: they start on the grid they were given, learn, and say where they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.quant.observers import accumulate
from quaver.lab.quant.quantizers import ActivationQuantizer, Learn, WeightQuantizer
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.selection import choose, choose_weight


def activations(relu: bool = False) -> Tensor:
    x = (
        torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1.0, 1, 5, 5])[:, None, None]
    )
    return x.relu() if relu else x


@pytest.mark.parametrize("learn", ["fixed", "lsq", "lsq+", "pact"])
@pytest.mark.parametrize("groups", [None, (0, 0, 1, 1), (0, 1, 2, 3)])
def test_learned_grids_start_where_the_fixed_one_is(learn: Learn, groups: tuple[int, ...] | None) -> None:
    x = activations(relu=learn == "pact")
    scale = choose(accumulate(None, x), 5, groups=groups)
    quantizer = ActivationQuantizer(scale, learn)
    torch.testing.assert_close(quantizer(x), scale.fake_quantize(x), rtol=1e-6, atol=1e-6)
    assert quantizer.current.bits == 5
    assert torch.equal(quantizer.current.fake_quantize(x), quantizer(x))
    count = sum(p.numel() for p in quantizer.parameters())
    assert count == {"fixed": 0, "lsq": 1, "lsq+": 2, "pact": 1}[learn] * (max(groups) + 1 if groups else 1)


@pytest.mark.parametrize("learn", ["lsq", "lsq+", "pact"])
def test_learning_lowers_the_error_of_a_bad_start(learn: Learn) -> None:
    x = activations(relu=learn == "pact")
    scale, zero = (1 / 15, 0) if learn == "pact" else (1.0, 8)  # PACT's clip moves only where data reach it
    quantizer = ActivationQuantizer(Scale.activation(scale, zero, 4), learn)
    optimizer = torch.optim.Adam(quantizer.parameters(), 0.02)
    errors = []
    for _ in range(60):
        error = (quantizer(x) - x).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.8 * errors[0]
    assert torch.equal(quantizer.current.fake_quantize(x), quantizer(x).detach())


def test_weights_learn_a_step_for_each_channel() -> None:
    weight = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(1), requires_grad=True)
    quantizer = WeightQuantizer(choose_weight(weight, (4, 0, 2)), "lsq")
    quantizer(weight).square().sum().backward()
    assert quantizer.step is not None and quantizer.step.grad is not None and weight.grad is not None
    assert quantizer.step.shape == (3,) and float(quantizer.step.grad[1]) == 0 != float(quantizer.step.grad[0])
    assert not quantizer(weight)[1].any()


def test_powers_of_two_stay_so_while_learned() -> None:
    x = activations()
    quantizer = ActivationQuantizer(choose(accumulate(None, x), 6), "lsq", power_of_two=True)
    optimizer = torch.optim.SGD(quantizer.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        quantizer(x).square().sum().backward()
        optimizer.step()
        assert float(torch.frexp(quantizer.current.scale).mantissa) == 0.5


def test_steps_that_fall_below_zero_stay_legal() -> None:
    quantizer = ActivationQuantizer(Scale.activation(0.1, 8, 4), "lsq")
    with torch.no_grad():
        assert quantizer.step is not None
        quantizer.step.fill_(-1.0)
    assert torch.isfinite(quantizer(activations())).all() and quantizer.current.scale > 0


def test_state_restores_a_quantizer() -> None:
    scale = choose(accumulate(None, activations()), 5, groups=(0, 0, 1, 1), split=(3,))
    quantizer = ActivationQuantizer(scale, "lsq")
    with torch.no_grad():
        assert quantizer.step is not None
        quantizer.step.mul_(1.5)
    other = ActivationQuantizer(scale, "lsq")
    other.load_state_dict(quantizer.state_dict())
    assert torch.equal(other(activations()), quantizer(activations()))


def test_what_cannot_be_learned_is_refused() -> None:
    with pytest.raises(UsageError, match="zero-point"):
        ActivationQuantizer(Scale.activation(0.1, 8, 4), "pact")
    with pytest.raises(UsageError, match="fixed, lsq"):
        WeightQuantizer(choose_weight(torch.ones(2, 2), 4), "pact")
