"""What groups of an activation's channels cost beside the layer itself, for two kinds of machine.

    extra(G) = (G - 1) share (sums 32 + shifts 32) + (G - 1) constants        [bit operations per frame, and bits]

"tensor": a machine with one scale per tensor runs a layer of G groups as G layers on parts of the input. Each part
after the first adds a partial sum per output (O P additions of 32 bits) after aligning it (as many shifts), and a
scale and a zero-point are stored (32 + 8 bits). Outputs of depthwise layers read one channel: no sums, no shifts.
"quaver": producers requantize per channel and weights absorb the scales: nothing, once the input is stored for the
layer alone; where it is not, the entry counts (`Layer.entry`), whatever the number of groups.
Follows the count under which IGQ-ViT chooses group numbers (Moon, Kim, Cheon, Ham, CVPR 2024, section 3.3), with
additions and shifts in place of its products.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from quaver.errors import UsageError
from quaver.lab.costs.layers import Layer
from quaver.lab.quant.plan import LayerPlan

Machine = Literal["quaver", "tensor"]
MACHINES: tuple[Machine, ...] = ("quaver", "tensor")
ACCUMULATOR_BITS = 32
CONSTANT_BITS = 32 + 8  # a scale and a zero-point


@dataclass(frozen=True, slots=True)
class GroupCost:
    """Of one call site. per_group: bit operations per frame, and stored bits, of each group after the first. first: bit
    operations that a second group costs once, however many follow."""

    per_group: Fraction
    stored: int
    first: Fraction

    def operations(self, count: int) -> Fraction:
        """Extra bit operations per frame of `count` groups."""
        return (count - 1) * self.per_group + (self.first if count > 1 else 0)


def group_cost(layer: Layer, activation_bits: int, machine: Machine) -> GroupCost:
    """Beside one group at the same bits."""
    if machine not in MACHINES:
        raise UsageError(f"machine {machine!r}: {', '.join(MACHINES)} are known")
    one, two = LayerPlan(7, activation_bits), LayerPlan(7, activation_bits, groups=(0,) * layer.inputs)
    first = layer.bops(two) - layer.bops(one)  # an entry where there was none
    if machine == "quaver":
        return GroupCost(Fraction(0), 0, first)
    sums = 0 if layer.groups > 1 else layer.outputs * layer.positions
    return GroupCost(layer.share * sums * 2 * ACCUMULATOR_BITS, CONSTANT_BITS, first)


def extended_bops(layer: Layer, plan: LayerPlan, machine: Machine) -> Fraction:
    """Bit operations per frame, of the layer, its entry and its groups."""
    own = layer.bops(plan)
    if plan.groups is None or plan.activation_bits is None:
        return own
    return own + max(plan.groups) * group_cost(layer, plan.activation_bits, machine).per_group
