"""One row of a cost table: a layer of a network, or a step of the skeleton, on one frame.

The formulas are written out in docs/laboratory/costs.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from quaver.lab.quant.plan import LayerPlan

FLOAT_BITS = 32
CONVOLUTIONS = ("pointwise", "dense", "depthwise", "grouped", "entry")

# Of a convolution in a .qvm: its shape (4 numbers), a bias and a multiplier per output channel, one byte that says
# how many bits the channel's weights have, and its description (names, ports, offsets), measured on model files.
_SHAPE_BYTES, _CHANNEL_BYTES, _DESCRIPTION_BYTES = 16, 9, 700
_LIMIT_BYTES, _SECOND_BYTES = 33, 250  # more of helpers: longer names of tensors; that halves are joined
_FINE_BITS = 7  # of weights of `SPLIT_GAIN`: second halves, entries whose channels have zero-points of their own


@dataclass(frozen=True, slots=True)
class Layer:
    """A call site.

    op: "pointwise", "dense", "depthwise", "grouped" or "entry" (depthwise 1x1), whose bits a plan decides; or what has
    fixed precision: "add", "clip" (`clips`), "gdn", "warp", "transform", "entropy". rows, columns: the map it is
    computed on. operations: multiplications (of an "add", additions) per call. share: calls per frame of the workload.
    taps: positions under the kernel, 9 of 3x3. bits: (weight, activation) of a fixed row. shared_input: its input is
    stored for other layers too, so that fewer bits or other scales need an entry, which brings it to the layer's own
    grid.
    stored: the file holds its weights; False where the row of another role of the same layer counts them. signed: its
    input has codes on both sides of zero.
    """

    call_site: str
    op: str
    operations: int
    rows: int
    columns: int
    share: Fraction = Fraction(1)
    inputs: int = 0
    outputs: int = 0
    taps: int = 1
    groups: int = 1
    bits: tuple[int, int] | None = None
    shared_input: bool = False
    stored: bool = True
    signed: bool = True

    @property
    def network(self) -> str:
        """The first two parts of the name, such as "inter.decoder"."""
        return ".".join(self.call_site.split(".")[:2])

    @property
    def planned(self) -> bool:
        """A plan decides its bits."""
        return self.bits is None

    @property
    def positions(self) -> int:
        return self.rows * self.columns

    @property
    def fan_in(self) -> int:
        """Weights per output channel."""
        return self.inputs // self.groups * self.taps if self.op in CONVOLUTIONS else 0

    @property
    def weights(self) -> int:
        return self.outputs * self.fan_in

    @property
    def stored_weights(self) -> int:
        """Weights that the file holds for this row."""
        return self.weights if self.stored else 0

    @property
    def macs(self) -> Fraction:
        """Multiplications per frame of the workload; additions are not counted."""
        return self.share * (0 if self.op == "add" else self.operations)

    def entry(self, plan: LayerPlan) -> Layer | None:
        """The convolution that brings the input to the layer's own grid, where the plan asks for one."""
        bits = plan.activation_bits
        if not self.planned or not self.shared_input or bits is None:
            return None
        if bits == 8 and plan.groups is None and not plan.split:
            return None
        shape = self.inputs, self.inputs, 1, self.inputs
        return convolution(f"{self.call_site}.entry", shape, (self.rows, self.columns), self.share)

    def helpers(self, plan: LayerPlan) -> tuple[Helper, ...]:
        """All convolutions that a plan needs beside the layer's own: the entry, with another one for second halves of
        split channels, and where groups have fewer bits than others the two or three that limit their codes
        (`lower.channels.limited`)."""
        found, map, again = [], (self.rows, self.columns), len(plan.split)
        entry = self.entry(plan)
        if entry is not None:
            found.append(Helper(entry, LayerPlan(_FINE_BITS if self._apart(plan) else 2, 8)))
        if entry is not None and again:
            second = convolution(f"{self.call_site}.second", (self.inputs, again, 1, 1), map, self.share)
            found.append(Helper(second, LayerPlan(_FINE_BITS, 8), _SECOND_BYTES))
        if self.planned and len(set(plan.group_bits or ())) > 1:
            codes = self.inputs + again
            limit = convolution(f"{self.call_site}.limit", (codes, codes, 1, codes), map, self.share)
            # Fitted zero-points let codes begin at 0, as they do after a ReLU.
            count = 3 if self.signed and not plan.affine else 2
            found += [Helper(limit, LayerPlan(2, 8), _LIMIT_BYTES)] * count
        return tuple(found)

    def clips(self, plan: LayerPlan) -> tuple[Layer, ...]:
        """Where codes are fewer than a byte holds: the passes that cut them off, on a machine whose convolutions write
        whole bytes. They take time and are no operations."""
        if not self.planned or plan.activation_bits is None or plan.activation_bits >= 8:
            return ()
        codes = self.inputs + len(plan.split)
        map = self.rows, self.columns
        one = Layer(
            f"{self.call_site}.clip", "clip", codes * self.positions, *map, self.share, codes, codes, bits=(0, 8)
        )
        limits = sum(each.layer.call_site.endswith(".limit") for each in self.helpers(plan))
        return (one,) * (1 + limits)

    def _apart(self, plan: LayerPlan) -> bool:
        """Input channels have zero-points that differ, which an entry's weights must be fine enough for."""
        return plan.affine and plan.groups is not None and self.op == "pointwise"

    def weight_bits(self, plan: LayerPlan) -> Fraction:
        """Bits of all weights; a channel that is split adds its weights once more."""
        if plan.channel_bits is not None:
            total = sum(plan.channel_bits) * self.fan_in
        else:
            total = self.weights * _width(plan.weight_bits)
        return Fraction(total) * self._widening(plan)

    def stored_bits(self, plan: LayerPlan) -> Fraction:
        """Bits of the weights that the file holds for this row."""
        return self.weight_bits(plan) if self.stored else Fraction(0)

    def bops(self, plan: LayerPlan) -> Fraction:
        """Bit operations per frame of the workload: multiplications x weight bits x activation bits."""
        if self.bits is not None:
            return self.share * self.operations * self.bits[0] * self.bits[1]
        own = self.share * self.positions * self.weight_bits(plan) * _mean_width(plan)
        return own + sum(each.layer.bops(each.plan) for each in self.helpers(plan))

    def file_bytes(self, plan: LayerPlan) -> int:
        """Of the layer in the model file, bias, multipliers and description included."""
        if not self.planned or not self.stored:
            return 0
        if plan.weight_bits is None:
            return 4 * (self.weights + self.outputs)
        packed = -(-self.weight_bits(plan) // 8)
        own = packed + _CHANNEL_BYTES * self.outputs + _SHAPE_BYTES + _DESCRIPTION_BYTES
        return int(own) + sum(each.layer.file_bytes(each.plan) + each.more_bytes for each in self.helpers(plan))

    def activation_bytes(self, plan: LayerPlan) -> tuple[int, int]:
        """(read, written) per call, as the runtime stores them: whole bytes; the output as wide as the input."""
        width = _stored(plan.activation_bits if self.planned else 8)
        return self.inputs * self.positions * width, self.outputs * self.positions * width

    def traffic(self, plan: LayerPlan) -> int:
        """Bytes per call that a machine without caches moves: input, weights, output."""
        weights = self.weights * _stored(plan.weight_bits) if self.planned else 0
        return sum(self.activation_bytes(plan)) + weights

    def _widening(self, plan: LayerPlan) -> Fraction:
        return Fraction(self.inputs + len(plan.split), self.inputs) if plan.split else Fraction(1)


@dataclass(frozen=True, slots=True)
class Helper:
    """A convolution beside a layer's own. plan: its bits. more_bytes: of its description beyond another layer's."""

    layer: Layer
    plan: LayerPlan
    more_bytes: int = 0


def convolution(
    call_site: str,
    shape: tuple[int, int, int, int],
    map: tuple[int, int],
    share: Fraction = Fraction(1),
    shared_input: bool = False,
) -> Layer:
    """A layer from (inputs, outputs, taps, groups) and the rows and columns of its map."""
    inputs, outputs, taps, groups = shape
    operations = outputs * (inputs // groups) * taps * map[0] * map[1]
    if groups == 1:
        op = "pointwise" if taps == 1 else "dense"
    elif groups == inputs:
        op = "entry" if taps == 1 else "depthwise"
    else:
        op = "grouped"
    return Layer(call_site, op, operations, *map, share, inputs, outputs, taps, groups, shared_input=shared_input)


def _width(bits: int | None) -> int:
    return FLOAT_BITS if bits is None else bits


def _mean_width(plan: LayerPlan) -> Fraction:
    """Activation bits of the mean input channel."""
    if plan.group_bits is None or plan.groups is None:
        return Fraction(_width(plan.activation_bits))
    return Fraction(sum(plan.group_bits[group] for group in plan.groups), len(plan.groups))


def _stored(bits: int | None) -> int:
    return 4 if bits is None else -(-bits // 8)
