"""The grids of Quaver's own integers, for parts that are scored while all else stays in floating point.

They are not chosen here: a copy of the codec is given the bits (`precision.shape_for`), its scales and clips are fitted
(`precision.fit`), and what it then has is copied. What these decide, the analysis therefore follows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from quaver.lab.analyse.adapter import Grids
from quaver.lab.models.codec import Codec
from quaver.lab.models.layers import WEIGHT_BITS
from quaver.lab.models.precision import fit, shape_for
from quaver.lab.models.sites import ACTIVATION_BITS, Site
from quaver.lab.models.wiring import Wire
from quaver.lab.quant.observers import SiteStats
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.quant.scale import Scale

VALUES = 1024  # of each channel, as many as calibration with InputSamples sees in about sixteen calls


def codec_grids(codec: Codec, stats: Mapping[str, SiteStats], bits: int) -> Grids:
    """Of every layer in `stats` at 2 to 8 bits: inputs beside 7 weight bits, weights beside inputs of 8 bits.

    Nothing where the integers are others: above 8 bits, or where the codec has a plan already.
    """
    if codec.plan is not None or bits > ACTIVATION_BITS:
        return Grids()
    values = {name: each.values(VALUES) for name, each in stats.items()}
    inputs = _fitted(codec, QuantPlan.uniform(list(stats), WEIGHT_BITS, bits), values)
    # Weights depend on the scales of what is stored for several layers, and of no other input.
    several = {name: each for name, each in values.items() if inputs[name].source.shared}
    weights = _fitted(codec, QuantPlan({}), several, bits)
    return Grids(
        {name: input_grid(inputs[name].grid) for name in stats}, {name: weight_values(weights[name]) for name in stats}
    )


def input_grid(site: Site) -> Scale:
    """The codes of a site as unsigned ones from 0 on."""
    low, high = (limit.detach().clone() for limit in site.limits())
    return Scale(site.steps().detach().clone(), -low, torch.zeros_like(low), high - low)


@torch.no_grad()
def weight_values(wire: Wire) -> Tensor:
    """What the integers of a layer's weights stand for. Scales per input channel are folded into the weights before
    those are rounded, and taken out again here."""
    conv, source = wire.conv, wire.grid
    codes, _, multiplier = conv.integers(source, wire.target)
    steps = multiplier * wire.target.steps()
    if source.steps().ndim:
        return codes * steps[:, None, None, None] / conv.per_input(source.steps())
    return codes * (steps / source.steps())[:, None, None, None]


def _fitted(
    codec: Codec, plan: QuantPlan, values: Mapping[str, Tensor], weight_bits: int = WEIGHT_BITS
) -> dict[str, Wire]:
    own = copy.deepcopy(codec)
    wires = shape_for(own, plan)
    for wire in wires.values():
        wire.conv.set_bits(weight_bits)  # plans have 7 at most; 8 are of the same form
    fit(own, wires, values)
    return wires
