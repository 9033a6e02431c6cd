"""Parts of Quaver's codec are scored on the grids of its integers."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from quaver.lab.analyse import QuaverAdapter
from quaver.lab.analyse.adapter import Grids
from quaver.lab.analyse.bench import Bench, Setup
from quaver.lab.analyse.jobs import Job, Setting
from quaver.lab.analyse.quaver_grids import VALUES
from quaver.lab.analyse.survey import Survey, survey
from quaver.lab.models.precision import fit, shape_for
from quaver.lab.models.wiring import Wire
from quaver.lab.quant.observers import SiteStats
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.lab.quant.selection import choose

from .toy import ToyAdapter, tiny_codec, toy_clips

LAYERS = (
    "inter.entropy.context.enter",  # reads a port
    "inter.entropy.trunk.enter",  # a stream
    "inter.decoder.trunk.enter",  # both, side by side
    "inter.decoder.trunk.blocks.0.mix",  # a site of its own after a ReLU, depthwise
    "inter.decoder.trunk.blocks.0.leave",  # one of its own that has signs
    "intra.loop.middle",
)
CLIPS = toy_clips(1, 3, 32)


class Recording(QuaverAdapter):
    stats: Mapping[str, SiteStats]

    def grids(self, stats: Mapping[str, SiteStats], bits: int) -> Grids:
        self.stats = stats
        return super().grids(stats, bits)


@pytest.fixture(scope="module")
def adapter() -> Recording:
    torch.set_num_threads(1)
    return Recording(tiny_codec(), (32,))


@pytest.fixture(scope="module")
def seen(adapter: Recording) -> Survey:
    return survey(adapter, CLIPS, 3, (4, 8))


def lowered(adapter: Recording, name: str, layer: LayerPlan) -> Wire:
    """A layer in the integers of a codec with this plan, fitted to the same statistics."""
    codec = copy.deepcopy(adapter.module)
    wires = shape_for(codec, QuantPlan({name: layer}))
    fit(codec, wires, {site: each.values(VALUES) for site, each in adapter.stats.items()})
    return wires[name]


def broadcast(steps: Tensor) -> Tensor:
    return steps[:, None, None] if steps.ndim else steps


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bits", (4, 8))
@torch.no_grad()
def test_inputs_are_those_of_the_integers(adapter: Recording, seen: Survey, name: str, bits: int) -> None:
    wire = lowered(adapter, name, LayerPlan(7, bits))
    source, entry = wire.source, wire.conv.entry
    x = torch.randn(2, wire.conv.weight.shape[1] * wire.conv.groups, 8, 8, generator=torch.Generator().manual_seed(1))
    # Whatever is stored for several layers arrives on that grid; a layer's own input has one rounding, its own.
    low, high = (broadcast(limit * source.steps()) for limit in source.limits())
    x = torch.minimum(torch.maximum(3 * x, low), high)
    codes = source.codes(x)
    assert (entry is None) == (bits == 8 or not source.shared)
    if entry is not None:
        x = codes * broadcast(source.steps())
        gain, rescale = wire.conv.entry_integers(source)
        codes = entry.requantize(codes * broadcast(gain), rescale)
    expected = codes * broadcast(wire.grid.steps())
    scale = seen.scales[name, bits]
    assert scale.bits == bits
    assert torch.equal(scale.fake_quantize(x), expected)


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_weights_are_those_of_the_integers(adapter: Recording, seen: Survey, name: str) -> None:
    wire = lowered(adapter, name, LayerPlan(4, 8))
    codes, _, _ = wire.conv.integers(wire.source, wire.target)
    steps = wire.source.steps()
    folded, found = wire.conv.weight, seen.weights[name, 4]
    if steps.ndim:
        by_input = steps[:, None, None, None] if wire.conv.groups > 1 else steps[None, :, None, None]
        folded, found = folded * by_input, found * by_input
    step = folded.abs().amax((1, 2, 3)) * torch.exp(wire.conv.log_clip) / 7
    torch.testing.assert_close(found, codes * step[:, None, None, None], rtol=1e-5, atol=0)
    assert torch.equal((found / step[:, None, None, None]).round(), codes) and 0 < codes.abs().max() <= 7


def test_eight_bits_of_weights_are_finer(adapter: Recording, seen: Survey) -> None:
    """No plan has them; the grid is of the same form."""
    for name in LAYERS:
        weight = adapter.module.get_submodule(name).weight
        assert (seen.weights[name, 8] - weight).abs().max() < (seen.weights[name, 4] - weight).abs().max()


def test_other_integers_have_the_laboratorys_grids(adapter: Recording) -> None:
    wide = survey(adapter, CLIPS, 3, (9,))
    assert not wide.weights
    name = "intra.loop.middle"
    assert torch.equal(wide.scales[name, 9].scale, choose(adapter.stats[name], 9).scale)
    planned = Recording(copy.deepcopy(adapter.module), (32,))
    shape_for(planned.module, QuantPlan({}))
    assert not survey(planned, CLIPS, 3, (4,)).weights


def test_given_weights_are_what_is_scored() -> None:
    """By any adapter; one that says nothing has none."""
    clips = toy_clips(1, 2)
    assert not survey(ToyAdapter(), clips, 2, (3,)).weights

    class Silent(ToyAdapter):
        """Weights of its decoder are zero at any bits."""

        def grids(self, stats: Mapping[str, SiteStats], bits: int) -> Grids:
            weight = self.module.decoder[0].weight
            return Grids(weights={"decoder.0": torch.zeros_like(weight)})

    adapter = Silent()
    found = survey(adapter, clips, 2, (3,))
    bench = Bench(Setup(adapter, clips, found, 0))
    scored = bench.measure(Job((Setting("decoder.0", "w", 3),), 2, (0,)))
    channel = bench.measure(Job((Setting("decoder.0", "w", 3, 1),), 2, (0,)))
    bench.close()
    expected, one = ToyAdapter(), ToyAdapter()
    with torch.no_grad():
        expected.module.decoder[0].weight.zero_()
        one.module.decoder[0].weight[:, 1].zero_()
    for curves, other in ((scored, expected), (channel, one)):
        bench = Bench(Setup(other, clips, found, 0))
        assert (curves.distortion == bench.measure(Job((), 2, (0,))).distortion).all()
        bench.close()
