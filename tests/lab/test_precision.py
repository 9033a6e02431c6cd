"""A random plan (bits per layer, channel, group; splits), with a random patch table and picture size, computes the same
in training, executors and files."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from quaver.errors import ModelError, UsageError
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.layers import Conv
from quaver.lab.models.precision import shape_for
from quaver.lab.models.sites import hidden
from quaver.lab.models.weights import set_integer
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.train.objective import run_sequence
from quaver.runtime.model import save_model

from .random_plans import STAGE, assert_exact, random_codec, random_patches, random_plan
from .test_integer_path import moving, sequence

NARROW = "inter.decoder.trunk.blocks.0.narrow"


@pytest.mark.parametrize("seed", range(3))
def test_a_random_plan_is_exact(seed: int, tmp_path: Path) -> None:
    codec = random_codec(seed)
    plan = random_plan(codec, seed)
    codec.patches = random_patches(seed)
    assert codec.patches is not None  # as other seeds may have it
    assert any((layer.activation_bits or 0) > 8 for layer in plan.layers.values())
    assert any(layer.affine and layer.groups for layer in plan.layers.values())
    assert {(layer.activation_bits or 0) > 8 for sites in plan.shared for layer in map(plan.layer, sites)} == {
        True,
        False,
    }
    assert_exact(codec, plan, tmp_path, seed)


def test_a_shared_scale_stays_one_in_training() -> None:
    """Of a stored input and of one that a layer brings to its grid: fitted on both, learned as one parameter."""
    codec = random_codec(0)
    names = ("inter.decoder.trunk.blocks.0.leave", "inter.decoder.trunk.blocks.0.widen")
    plan = QuantPlan.uniform(list(wiring(codec)), 7, 6)
    alone = random_codec(0)
    calibrate(alone, [sequence(moving(3), 30)], STAGE, plan)
    calibrate(codec, [sequence(moving(3), 30)], STAGE, replace(plan, shared=(names,)))
    own, grids = ([wiring(each)[name].grid for name in names] for each in (alone, codec))
    assert min(site.scale for site in own) <= grids[0].scale == grids[1].scale <= max(site.scale for site in own)
    gains = [name for name, _ in codec.named_parameters() if name.endswith("log_gain")]
    assert len(gains) == len([name for name, _ in alone.named_parameters() if name.endswith("log_gain")]) - 1
    set_integer(codec, True)
    optimizer = torch.optim.SGD(codec.parameters(), 1.0)
    before = grids[0].steps().item()
    run_sequence(codec, sequence(moving(3), 30), replace(STAGE, integer=True)).loss.backward()
    optimizer.step()
    assert grids[0].steps().item() != before
    twin = copy.deepcopy(codec)
    for each in (codec, twin):
        first, second = (wiring(each)[name].grid for name in names)
        assert torch.equal(first.steps(), second.steps())
    wiring(twin)[names[0]].grid.scale.mul_(2)
    first, second = (wiring(twin)[name].grid for name in names)
    assert torch.equal(first.steps(), second.steps()) and not torch.equal(second.steps(), grids[1].steps())


def test_sixteen_bits_are_nearer_to_floating_point() -> None:
    """What a layer computes from 16 bits differs less from the float layer than from 8 bits, by far more than half."""
    torch.manual_seed(0)
    x = torch.rand(1, 32, 8, 8) * 3
    losses = []
    for bits in (8, 12, 16):
        conv, source, target = Conv(32, 16), hidden(True), hidden(False)
        torch.manual_seed(1)
        # Weights that are whole steps, so that the input's rounding alone is seen.
        steps = torch.randint(-63, 64, conv.weight.shape).float()
        steps[:, 0] = 63
        conv.weight.data, conv.integer = steps / 500, True
        source.set_bits(bits)
        target.set_bits(16)
        source.scale.fill_(4 / (2**bits - 1))
        target.scale.fill_(2.0**-13)
        exact = torch.nn.functional.conv2d(x, conv.weight, conv.bias)
        losses.append(
            float((conv(torch.round(x / source.scale) * source.scale, source, target) - exact).detach().std())
        )
    assert losses[0] > 10 * losses[1] > 30 * losses[2]


def test_two_bytes_sum_and_learn_as_one_product() -> None:
    """float32(acc), rounded once; gradients of the whole code, weight and bias."""
    torch.manual_seed(0)
    conv = Conv(200, 4)
    codes = torch.randint(-(1 << 15), 1 << 15, (1, 200, 5, 6)).float().requires_grad_()
    weight = torch.randint(-63, 64, (4, 200, 1, 1)).float().requires_grad_()
    bias = torch.randint(-(1 << 29), 1 << 29, (4,)).float().requires_grad_()
    sums = conv._byte_sums(codes, weight, bias)
    exact = conv._sums(codes.double(), weight.double(), bias.double())
    assert torch.equal(sums, exact.float())
    pull = torch.randint(-3, 4, sums.shape)
    inputs = [codes, weight, bias]
    for ours, whole in zip(
        torch.autograd.grad((sums * pull).sum(), inputs),
        torch.autograd.grad((exact * pull).sum(), inputs),
        strict=True,
    ):
        assert torch.equal(ours, whole)


def test_an_accumulator_without_proof_names_its_layer() -> None:
    codec = random_codec(0)
    calibrate(codec, [sequence(moving(2), 30)], STAGE, QuantPlan({NARROW: LayerPlan(7, 16)}))
    graph = lower(codec, "m").graphs["inter.decoder"]
    wide = {conv.name: conv for conv in graph.convolutions()}
    assert (wide["trunk.0.widen"].y_bytes, wide["trunk.0.narrow"].x_bytes) == (2, 2)
    conv = wide["trunk.0.narrow"]
    broken = replace(conv, bias=np.full_like(conv.bias, (1 << 31) - 1))
    with pytest.raises(ModelError, match=r"'trunk.0.narrow': an accumulator can reach .* not below 2\*\*31"):
        replace(graph, nodes=tuple(broken if node is conv else node for node in graph.nodes))


def test_fewer_bits_make_smaller_files(tmp_path: Path) -> None:
    sizes = []
    for bits in (7, 4):
        codec = random_codec(0)
        calibrate(codec, [sequence(moving(2), 30)], STAGE, QuantPlan.uniform(list(wiring(codec)), bits, 8))
        model = lower(codec, "m")
        assert max(np.abs(conv.weight).max() for g in model.graphs.values() for conv in g.convolutions()) <= 63
        save_model(model, tmp_path / f"{bits}.qvm")
        sizes.append((tmp_path / f"{bits}.qvm").stat().st_size)
    weights = sum(conv.weight.numel() for conv in codec.modules() if isinstance(conv, Conv))
    assert sizes[0] - sizes[1] > 0.9 * weights * 3 / 8


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (LayerPlan(8, 8), "8 weight bits; profile 1 runs 2 to 7"),
        (LayerPlan(None, 8), "float weight bits"),
        (LayerPlan(4, 9), "9 activation bits; profile 1 runs 9 to 16 where the input is this layer's own"),
        (LayerPlan(4, None), "float activation bits"),
        (LayerPlan(4, 8, (4, 4)), "2 output channels"),
        (LayerPlan(4, 8, None, (0, 1)), "2 input channels"),
        (LayerPlan(4, 8, None, None, (999,)), "0 to [0-9]+ are legal"),
        (LayerPlan(4, 8, None, None, (1, 1)), "different ones"),
    ],
)
def test_what_profile_1_cannot_run_is_refused(layer: LayerPlan, said: str) -> None:
    codec = random_codec(0)
    name = next(iter(wiring(codec)))
    with pytest.raises(UsageError, match=said):
        shape_for(codec, QuantPlan({name: layer}))
    mix = "inter.decoder.trunk.blocks.0.mix"
    with pytest.raises(UsageError, match="depthwise"):
        shape_for(random_codec(0), QuantPlan({mix: LayerPlan(4, 8, split=(1,))}))
    for refused, why in (
        ({mix: LayerPlan(7, 16)}, f"{mix}: 16 activation bits; profile 1 runs 9 to 16 in 1x1 layers alone"),
        ({NARROW: LayerPlan(7, 16, split=(1,))}, "none split"),
        ({NARROW: LayerPlan(7, 16, None, (0, 1) * 16, (), (16, 8))}, "bits of its own"),
    ):
        with pytest.raises(UsageError, match=why):
            shape_for(random_codec(0), QuantPlan(refused))
    wires = wiring(random_codec(0))
    signed, relu, reader = (
        next(name for name, wire in wires.items() if (wire.source.shared, wire.source.zero) == kind)
        for kind in ((False, 128), (False, 0), (True, 128))
    )
    for refused, why in (
        ((signed, relu), "zero-point"),
        ((signed, reader), f"{reader}: its input is stored for several layers"),
    ):
        eight = QuantPlan(dict.fromkeys(refused, LayerPlan(7, 8)), shared=(refused,))
        with pytest.raises(UsageError, match=why):
            shape_for(random_codec(0), eight)
    with pytest.raises(UsageError, match="no layer 'nowhere'"):
        shape_for(random_codec(0), QuantPlan({"nowhere": LayerPlan(4, 8)}))
