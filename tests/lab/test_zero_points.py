"""Fitted zero-points: never worse than fixed ones, the same in training, executors and files, and still while scales
learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from quaver.errors import UsageError
from quaver.lab.costs.codec import codec_layers, skeleton_bytes
from quaver.lab.costs.table import totals
from quaver.lab.costs.workload import Workload
from quaver.lab.lower.model import calibrate, lower
from quaver.lab.models.grids import scales, scales_and_zero_points
from quaver.lab.models.precision import shape_for
from quaver.lab.models.sites import Site, hidden
from quaver.lab.models.untrained import random_codec as untrained
from quaver.lab.models.weights import set_integer
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.train.objective import run_sequence
from quaver.runtime.model import save_model
from quaver.runtime.packing import pack_arrays

from .random_plans import STAGE, assert_exact, random_codec
from .test_integer_path import moving, sequence

LEAVE, ENTER = "inter.decoder.trunk.blocks.0.leave", "inter.loop.enter"
READER = "inter.decoder.trunk.blocks.0.widen"


def site_of(bits: int, channels: int, zeros: str, split: tuple[int, ...] = (), grouped: bool = True) -> Site:
    site = hidden(False)
    site.set_bits(bits)
    if grouped:
        site.scale = site.scale.expand(channels).clone()
    site.set_channels(channels, None, split)
    if zeros != "fixed":
        site.set_zero_points(each=zeros == "each")
    return site


def error(site: Site, values: torch.Tensor) -> float:
    low, high = (limit[:, None] if limit.ndim else limit for limit in site.reach())
    step = site.scale[:, None] if site.scale.ndim else site.scale
    return float((torch.round(values / step).clamp(low, high) * step - values).square().mean())


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("split", [(), (1, 3)])
def test_no_fitted_zero_point_loses_more_than_a_fixed_one(bits: int, split: tuple[int, ...]) -> None:
    rng = np.random.default_rng(bits)
    kinds = [rng.normal(0.3, 1, 500), rng.exponential(1, 500), -rng.exponential(2, 500), rng.normal(2, 0.1, 500)]
    values = torch.tensor(np.stack([*kinds, np.zeros(500), rng.uniform(-1, 4, 500)]), dtype=torch.float32)
    for groups in (None, (0, 1, 1, 0, 2, 2), tuple(range(6))):
        fixed, one, each = (site_of(bits, 6, kind, split, groups is not None) for kind in ("fixed", "one", "each"))
        fixed.scale.copy_(scales(fixed, values, groups))
        losses = [error(fixed, values)]
        for site in (one, each)[: 1 if groups is None else 2]:
            assert site.zero_point is not None
            for part, found in zip(
                (site.scale, site.zero_point), scales_and_zero_points(site, values, groups), strict=True
            ):
                assert part.shape == found.shape
                part.copy_(found)
            assert bool(((site.zero_point >= 0) & (site.zero_point < 2**bits)).all())
            assert torch.equal(site.zero_point, site.zero_point.round())
            losses.append(error(site, values))
        assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]


def test_what_is_never_negative_gains_a_bit() -> None:
    values = torch.rand(1, 4000)
    (three, four), top = (site_of(bits, 1, kind) for bits, kind in ((3, "each"), (4, "fixed"))), 1.0
    scale, zero = scales_and_zero_points(three, values, (0,))
    assert float(zero) == 0 and float(scale) == pytest.approx(top / 7, rel=0.1)
    assert float(scale) == pytest.approx(float(scales(four, values, (0,))), rel=0.1)


@pytest.mark.parametrize("grouped", [False, True])
def test_narrow_and_8_bit_zero_points_are_exact(grouped: bool, tmp_path: Path) -> None:
    """Everywhere, of groups and of single tensors, of channels that are nearly dead too."""
    codec = random_codec(3)
    wires, layers = wiring(codec), {}
    for number, (name, wire) in enumerate(wires.items()):
        inputs = wire.conv.weight.shape[1] * wire.conv.groups
        groups = tuple(channel % 3 for channel in range(inputs)) if grouped else None
        split = (0, 2) if wire.conv.groups == 1 and number % 3 == 0 else ()
        bits = 8 if not wire.source.shared else 3 + number % 5
        layers[name] = LayerPlan(7, bits, groups=groups, split=split, affine=True)
    with torch.no_grad():
        for name, wire in wires.items():
            if name.endswith("mix"):
                wire.conv.weight[:4] = 1e-9
    codec = assert_exact(codec, QuantPlan(layers), tmp_path, seed=3)
    zeros = {name: wire.grid.zero_point for name, wire in wiring(codec).items()}
    assert {name for name, zero in zeros.items() if zero is None} == {
        name for name, wire in wires.items() if not wire.source.signed
    }
    leave, enter = zeros[LEAVE], zeros[ENTER]
    assert leave is not None and enter is not None and enter.ndim == 0
    assert leave.ndim == int(grouped) and (not grouped or len(set(leave.tolist())) > 1)


def test_zero_points_stay_while_scales_learn() -> None:
    codec = random_codec(0)
    names = list(wiring(codec))
    groups = {name: tuple(c % 2 for c in range(wire.conv.weight.shape[1])) for name, wire in wiring(codec).items()}
    plan = QuantPlan(
        {name: LayerPlan(7, 4, groups=groups[name] if name == LEAVE else None, affine=True) for name in names}
    )
    calibrate(codec, [sequence(moving(3), 30)], STAGE, plan)
    site = wiring(codec)[LEAVE].grid
    assert site.zero_point is not None
    zero, before = site.zero_point.clone(), site.steps().detach().clone()
    set_integer(codec, True)
    optimizer = torch.optim.SGD(codec.parameters(), 1.0)
    run_sequence(codec, sequence(moving(3), 30), replace(STAGE, integer=True)).loss.backward()
    optimizer.step()
    assert torch.equal(site.zero_point, zero) and not torch.equal(site.steps(), before)


def test_gradients_do_not_see_where_codes_lie() -> None:
    torch.manual_seed(0)
    site = site_of(8, 3, "each")
    site.zero_point = torch.tensor([20.0, 128.0, 240.0])
    multiplier = torch.full((3,), 0.01, requires_grad=True)
    sums, pull = torch.randint(-1000, 1000, (1, 3, 5, 5)).float(), torch.randn(1, 3, 5, 5)
    (site.requantize(sums, multiplier) * pull).sum().backward()
    assert multiplier.grad is not None
    torch.testing.assert_close(multiplier.grad, (sums * pull).sum((0, 2, 3)), rtol=1e-4, atol=0.01)
    # Rounded where (half a product at most from) the same value without a zero-point would be.
    assert float((site.requantize(sums, multiplier.detach()) - sums * 0.01).abs().max()) <= 0.5 + 0.005 + 1e-6


@pytest.mark.parametrize("group_bits", [None, (5, 3)])
def test_bytes_are_those_of_the_file(group_bits: tuple[int, int] | None, tmp_path: Path) -> None:
    """What fitted zero-points of groups add is counted, finer weights of entries, and what they save, a limit: every
    convolution, within 1 % of the file, and where there are as many convolutions what the arrays grow by."""
    sizes, arrays, counted = [], [], []
    for affine in (False, True):
        codec = untrained("nano", seed=1)
        layers = {}
        for name, wire in wiring(codec).items():
            width = wire.conv.weight.shape[1] * wire.conv.groups
            own = group_bits if wire.conv.kernel == wire.conv.groups == 1 else None
            groups = (0,) * (width // 2) + (1,) * (width - width // 2)
            layers[name] = LayerPlan(7, 5, groups=groups, group_bits=own, affine=affine)
        plan = QuantPlan(layers)
        shape_for(codec, plan)
        model = lower(codec, "random")
        save_model(model, tmp_path / "random.qvm")
        sizes.append((tmp_path / "random.qvm").stat().st_size)
        arrays.append(len(save(pack_arrays(model.arrays()))))
        rows = [row for row in codec_layers(codec, Workload()) if row.planned]
        convolutions = sum(1 + len(row.helpers(plan.layers[row.call_site])) for row in rows)
        assert convolutions == sum(len(list(graph.convolutions())) for graph in model.graphs.values())
        counted.append(totals(codec_layers(codec, Workload()), plan, skeleton_bytes(codec.skeleton))["bytes"])
    assert abs(float(counted[1]) / sizes[1] - 1) < 0.01
    if group_bits is None:
        assert counted[1] - counted[0] == pytest.approx(arrays[1] - arrays[0], abs=64)  # arrays are aligned


def test_what_cannot_have_one_is_refused() -> None:
    for name, layer, why in (
        (
            LEAVE,
            LayerPlan(7, 12, affine=True),
            f"{LEAVE}: a fitted zero-point of 12 activation bits; 2 to 8 may have one",
        ),
        (
            READER,
            LayerPlan(7, 8, affine=True),
            f"{READER}: a fitted zero-point; its input is stored for several layers",
        ),
        (ENTER, LayerPlan(7, 5, None, (0,) * 6 + (1,) * 7, (), (5, 4), True), "1x1 layers may have both"),
    ):
        with pytest.raises(UsageError, match=why):
            shape_for(random_codec(0), QuantPlan({name: layer}))
    two = dict.fromkeys((LEAVE, READER), LayerPlan(7, 5))
    plan = QuantPlan(two, shared=((LEAVE, READER),))
    with pytest.raises(UsageError, match="fitted to it alone"):
        replace(plan, layers=two | {LEAVE: LayerPlan(7, 5, affine=True)})
    assert plan.with_layers(two | {LEAVE: LayerPlan(7, 5, affine=True)}).shared == ()
