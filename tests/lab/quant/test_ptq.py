"""Equalization keeps the function, bias correction the mean."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quaver.errors import UsageError
from quaver.lab.models.blocks import Block
from quaver.lab.models.sites import Site
from quaver.lab.quant import LayerPlan, QuantPlan, calibrate, call_sites, correct_biases, equalize, quantized
from quaver.lab.quant.selection import choose_weight
from quaver.lab.quant.sites import observe

from .toys import clip, model


def chain() -> nn.Sequential:
    """Plain, depthwise, grouped, transposed and linear layers with ReLUs between them, channels of uneven range."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 1, groups=2, bias=False),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 6, 2),
        nn.ReLU(),
        nn.Conv2d(6, 5, 1),
    )
    with torch.no_grad():
        for layer in (layers[0], layers[2], layers[4]):
            layer.weight.mul_(10 ** torch.rand(layer.weight.shape[0], 1, 1, 1))  # type: ignore[operator]
        layers[2].weight[3] = 0  # type: ignore[index]
    return layers


PAIRS = [("0", "2"), ("2", "4"), ("4", "6"), ("6", "8")]


@pytest.mark.parametrize("power_of_two", [False, True])
def test_equalization_keeps_the_function(power_of_two: bool) -> None:
    layers, x = chain().eval(), torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        before = layers(x)
        weight = layers[0].weight.clone()
        factors = equalize(layers, PAIRS, power_of_two=power_of_two)
        after = layers(x)
    if power_of_two:
        assert torch.equal(after, before)
    else:
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    assert list(factors) == PAIRS and factors["0", "2"][3] == 1
    torch.testing.assert_close(layers[0].weight, weight / factors["0", "2"][:, None, None, None])


def test_equalized_layers_share_their_ranges_and_quantize_better() -> None:
    layers, x = chain().eval(), torch.randn(2, 3, 9, 9)
    plan = QuantPlan.uniform(call_sites(layers), 4, None)
    errors = []
    with torch.no_grad():
        before = layers(x)
        for _ in range(2):
            tensors = {s: choose_weight(layers.get_submodule(s).weight, 4, axis=None) for s in plan.layers}  # type: ignore[arg-type]
            with quantized(layers, plan, {}, weight_scales=tensors):
                errors.append(float((layers(x) - before).square().mean()))
            equalize(layers, PAIRS)
    made, used = layers[6].weight.abs().amax((0, 2, 3)), layers[8].weight.abs().amax((0, 2, 3))
    torch.testing.assert_close(made, used, rtol=1e-2, atol=0)
    assert errors[1] < 0.5 * errors[0]


def test_layers_that_do_not_follow_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="0 has 8 output channels, 8 6 inputs"):
        equalize(chain(), [("0", "8")])


def test_a_block_of_the_codec_keeps_its_function_below_its_clamps() -> None:
    torch.manual_seed(0)
    block, stream = Block(8), Site()
    x = 0.1 * torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        before = block(x, stream)
        equalize(block, [("enter", "mix"), ("mix", "leave"), ("widen", "narrow")], power_of_two=True)
        assert torch.equal(block(x, stream), before)


def test_corrected_biases_restore_the_mean() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(4, 6, 1, groups=2), nn.Conv2d(6, 3, 1, bias=False), nn.Conv2d(3, 2, 1)).eval()
    x = torch.randn(4, 4, 12, 12).abs()
    linear = nn.Linear(4, 5)
    both = nn.ModuleDict({"conv": layers, "linear": linear})

    def run() -> list[torch.Tensor]:
        return [layers[0](x), layers[1](layers[0](x)), linear(x.movedim(1, -1)).movedim(-1, 1)]

    with torch.no_grad():
        expected = [y.mean((0, 2, 3)) for y in run()]
        stats = observe(both, ["conv.0", "conv.1", "linear"], run)
        with quantized(both, QuantPlan.uniform(["conv.0", "conv.1", "linear"], 2, None), {}) as attached:
            assert all((y.mean((0, 2, 3)) - e).abs().max() > 1e-2 for y, e in zip(run(), expected, strict=True))
            corrected = correct_biases(attached, stats)
            for y, e in zip(run(), expected, strict=True):
                torch.testing.assert_close(y.mean((0, 2, 3)), e, rtol=1e-4, atol=1e-4)
            attached.weights = False
            assert torch.equal(run()[0].mean((0, 2, 3)), expected[0])
    assert sorted(corrected) == ["conv.0", "conv.1", "linear"] and layers[1].bias is None
    assert "bias" not in layers[1].__dict__


def test_roles_have_biases_of_their_own() -> None:
    toy = model()
    plan = QuantPlan({"enter@intra": LayerPlan(2, 8), "enter@inter": LayerPlan(2, 8)})
    calibration = calibrate(toy, plan, lambda: toy(clip()), role=lambda: toy.role)
    with quantized(toy, plan, calibration, role=lambda: toy.role) as attached, torch.no_grad():
        corrected = correct_biases(attached, calibration.stats)
        assert not torch.equal(corrected["enter@intra"], corrected["enter@inter"])
        toy.role = "intra"
        used: list[torch.Tensor] = []
        toy.enter.register_forward_pre_hook(lambda layer, _: used.append(layer.bias))
        toy.enter(clip())
    assert used[0] is corrected["enter@intra"]
