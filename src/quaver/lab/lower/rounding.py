"""Which way each weight of Quaver's integers is rounded, by J in closed loop.

Source: as `quaver.lab.quant.rounding`, whose soft roundings are learned here on the grids that lowering rounds on. The
codes found are written back as weights, so that everything after sees ordinary weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

import torch
from torch import Tensor

from quaver.lab.lower.sequence_loss import SequenceLoss
from quaver.lab.models.codec import Codec
from quaver.lab.models.wiring import Wire, wiring
from quaver.lab.quant.rounding import Rounded, SoftRounding, learn_rounding
from quaver.lab.quant.scale import Scale

# Slower than on layers by themselves: of few sequences quick steps learn what these alone like.
_RATE = 0.02


def round_by_loss(codec: Codec, loss: SequenceLoss, judge: SequenceLoss, steps: int) -> Rounded:
    """Learn the rounding of a codec that has a plan, in place, on `loss`; kept where `judge` falls, by whose examples
    it should not have been learned: weights are many. Layers that no frame calls stay as they are: those of the
    MotionEstimator."""
    before = judge(codec)
    wires = {name: wire for name, wire in wiring(codec).items() if not name.startswith("motion.estimator.")}
    start = {
        name: (wire.conv.weight.detach().clone(), wire.conv.log_clip.detach().clone()) for name, wire in wires.items()
    }
    nearest = {name: codes_of(wire) for name, wire in wires.items()}
    codes = learned_codes(codec, wires, loss, steps, max(before - judge.floating, 1e-3 * before))
    for name, wire in wires.items():
        wire.conv.take_codes(codes[name], wire.grid, wire.target)
    after = judge(codec)
    if after < before:
        changed = sum(int((codes[name] != nearest[name]).sum()) for name in wires)
        return Rounded(before, after, changed / sum(each.numel() for each in codes.values()), True)
    with torch.no_grad():
        for name, (weight, log_clip) in start.items():
            wires[name].conv.weight.copy_(weight)
            wires[name].conv.log_clip.copy_(log_clip)
    return Rounded(before, before, 0.0, False)


@torch.no_grad()
def codes_of(wire: Wire) -> Tensor:
    """Codes of a layer's weights as lowering copies them, integer-valued float32 (O, I, k, k)."""
    return wire.conv.integers(wire.grid, wire.target)[0]


def learned_codes(
    codec: Codec, wires: Mapping[str, Wire], loss: SequenceLoss, steps: int, excess: float
) -> dict[str, Tensor]:
    """Codes of layers, by name: neighbours of their weights. The codec stays as it is. excess: what rounding to the
    nearest costs."""
    soft = {name: _soft(wire) for name, wire in wires.items()}
    learns = [parameter for parameter in codec.parameters() if parameter.requires_grad]
    for parameter in learns:
        parameter.requires_grad_(False)
    for name, wire in wires.items():
        wire.conv.given = soft[name].between
    try:
        step = count()
        learn_rounding(list(soft.values()), lambda: loss.surrogate(codec, next(step)), excess, steps, _RATE)
    finally:
        for wire in wires.values():
            wire.conv.given = None
        for parameter in learns:
            parameter.requires_grad_(True)
    return {name: each.codes().detach() for name, each in soft.items()}


@torch.no_grad()
def _soft(wire: Wire) -> SoftRounding:
    grid, limit = wire.conv.grid(wire.grid, wire.target), wire.conv.weight_limit
    scale = Scale(grid.step.clone(), torch.zeros(()), -limit, limit, axis=0)
    return SoftRounding(grid.weight, scale)
