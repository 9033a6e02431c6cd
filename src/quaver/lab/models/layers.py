"""Layers that know the 8-bit grid they will run on.

A `Site` is where an activation is stored: its scale and zero-point. In float mode a site only clips; in integer
mode a convolution computes what the runtime computes (`quaver.runtime.graph`), on integer-valued float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quaver.lab.twin.rounding import clamp_ste, round_ste

PORT_SCALE = 1 / 64  # of every network input and output; zero-point 128
WEIGHT_BITS, ACTIVATION_BITS = 7, 8  # where no plan says otherwise; most that the runtime takes
WIDE_BITS = 16  # of what a 1x1 layer alone reads: two bytes
SPLIT_GAIN = 32  # weight of an entry's split or moved channels: fine enough for a quarter of a step, and 7 bits
_LEAST_RESCALE = 2.0**-9  # of an entry that moves codes, which thereby stay below 2**24 in the accumulator
_MOST_MOVED = 2.0**21  # what is added to accumulators so that channels have zero-points of their own


class Site(nn.Module):
    """Where an activation is stored as u8, or u16 (`wide`): real value = scale * (code - zero), codes low..high.

    ``signed``: with values on both sides of zero; otherwise what writes here is a clamped ReLU.

    ``scale``: one, or one per channel. ``log_gain``: what integer-aware training multiplies the scale by, as a
    logarithm; ports are fixed and have none. ``shared``: more than one layer reads it, so that none may narrow it.
    ``channel_bits``: (C,) where channels have fewer bits than `bits`.
    ``zero_point``: fitted ones, () or (C,), where codes begin at 0 and their middle is not zero. Channels' differences
    from `zero` are added to accumulators before they are stored (`moves`) and subtracted from those that read them.
    ``split``: channels that are stored as two codes, whose sum counts; ``pieces``: (C,) how many codes each has.
    ``given``: scales from elsewhere: a search (`lab.quant.learned_groups`), or another site (`follow`).
    """

    scale: Tensor
    peak: Tensor
    channel_bits: Tensor | None
    zero_point: Tensor | None
    pieces: Tensor | None

    def __init__(
        self, scale: float | Tensor = PORT_SCALE, zero: int = 128, fixed: bool = True, shared: bool = False
    ) -> None:
        super().__init__()
        self.signed, self.fixed, self.shared, self.bits = zero != 0, fixed, fixed or shared, ACTIVATION_BITS
        self._middle = zero
        self.observing = False
        self.split: tuple[int, ...] = ()
        self.given: Callable[[], Tensor] | None = None
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))
        self.register_buffer("peak", torch.tensor(0.0))
        self.register_buffer("channel_bits", None, persistent=False)
        self.register_buffer("zero_point", None)
        self.register_buffer("pieces", None, persistent=False)
        self.log_gain = None if fixed else nn.Parameter(torch.zeros(()))

    @property
    def zero(self) -> int:
        """The code of zero; where channels differ in it, what their codes are counted from."""
        return self._middle if self.zero_point is None else int(self.zero_point.mean().round())

    @property
    def low(self) -> int:
        return self._middle - (1 << (self.bits - 1)) if self.signed and self.zero_point is None else 0

    @property
    def high(self) -> int:
        return self.low + (1 << self.bits) - 1

    @property
    def wide(self) -> bool:
        """More than 8 bits, in two bytes."""
        return self.bits > ACTIVATION_BITS

    def set_bits(self, bits: int) -> None:
        """Up to 16; wide codes have their zero-point at the lowest or in the middle of 16 bits."""
        self.bits = bits
        if self.wide and self.signed:
            self._middle = 1 << (WIDE_BITS - 1)

    def set_channels(self, channels: int, bits: Sequence[int] | None, split: tuple[int, ...]) -> None:
        """Bits of each channel where they differ, and channels to split."""
        device = self.scale.device
        if bits is not None:
            self.channel_bits = torch.tensor(bits, dtype=torch.float32, device=device)
        if split:
            self.split, self.pieces = split, torch.ones(channels, device=device)
            self.pieces[list(split)] = 2

    def set_zero_points(self, each: bool) -> None:
        """Fitted zero-points, in the middle until then: one for each channel, or one for all."""
        if self.channel_bits is not None:
            self.zero_point = 2.0 ** (self.channel_bits - 1)
        else:
            middle = torch.tensor(2.0 ** (self.bits - 1), device=self.scale.device)
            self.zero_point = middle.expand(self.scale.shape).clone() if each else middle

    def follow(self, first: Site) -> None:
        """Have the scale of another site, in training too: nothing of its own is learned."""
        self.given, self.log_gain = first.steps, None

    def limits(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest code minus zero-point, each () or (C,)."""
        if self.zero_point is not None:
            top = float(self.high) if self.channel_bits is None else 2.0**self.channel_bits - 1
            return -self.zero_point, top - self.zero_point
        if self.channel_bits is None:
            low, high = float(self.low - self.zero), float(self.high - self.zero)
            return torch.tensor(low, device=self.scale.device), torch.tensor(high, device=self.scale.device)
        if not self.signed:
            return torch.zeros_like(self.channel_bits), 2.0**self.channel_bits - 1
        half = 2.0 ** (self.channel_bits - 1)
        return -half, half - 1

    def reach(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest value in steps, each () or (C,): a split channel's codes add up."""
        low, high = self.limits()
        return (low, high) if self.pieces is None else (low * self.pieces, high * self.pieces)

    def steps(self) -> Tensor:
        """The scale in use, () or (C,)."""
        if self.given is not None:
            return self.given()
        return self.scale if self.log_gain is None else self.scale * torch.exp(self.log_gain)

    def clip(self, x: Tensor) -> Tensor:
        """Floating point: the limits that the codes will have."""
        low, high = (_broadcast(limit * self.steps().detach()) for limit in self.reach())
        if low.ndim:
            low, high = low.to(x.dtype), high.to(x.dtype)
            return clamp_ste(x, low, high) if self.shared else torch.minimum(torch.maximum(x, low), high)
        return clamp_ste(x, float(low), float(high)) if self.signed else x.clamp(float(low), float(high))

    def codes(self, x: Tensor) -> Tensor:
        """Real values on this grid to codes minus zero-point, as integers in float32; of a split channel their sum."""
        return round_ste(x.float() / _broadcast(self.steps()))

    def requantize(self, sums: Tensor, multiplier: Tensor) -> Tensor:
        """Accumulators (B, C, h, w) and multipliers (C,) to codes minus zero-point; of a split channel their sum."""
        if self.pieces is None:
            return self._store(sums, multiplier)
        half, shift = self.halves(multiplier)
        first = self._store(sums + _broadcast(shift), half)
        second = self._store(sums - _broadcast(shift), half)
        return first + second * _broadcast(self.pieces - 1)

    def halves(self, multiplier: Tensor) -> tuple[Tensor, Tensor]:
        """(multiplier of one code, what is added to the accumulator for the first and subtracted for the second).

        rint(v / 2 + 1/4) + rint(v / 2 - 1/4) = rint(v): the two codes round as one of twice the range does, where a
        quarter of a step is added as a whole number of the accumulator. Source: Zhao et al., Improving Neural Network
        Quantization without Retraining using Outlier Channel Splitting, ICML 2019, section 3.3.
        """
        assert self.pieces is not None
        half = multiplier / self.pieces
        shift = ((self.pieces - 1) / 4 / half.detach()).round().clamp(max=2.0**22)
        return half, shift

    def apart(self) -> Tensor | None:
        """(C,) zero-points minus `zero`; None where channels do not differ."""
        return None if self.zero_point is None or not self.zero_point.ndim else self.zero_point - self.zero

    def moves(self, multiplier: Tensor) -> Tensor | None:
        """(C,) what is added to accumulators so that codes lie `apart`: whole numbers, off by half of a product at
        most."""
        apart = self.apart()
        return None if apart is None else (apart / multiplier.detach()).round()

    def _store(self, sums: Tensor, multiplier: Tensor) -> Tensor:
        """Accumulators to codes minus zero-point: in steps, rounded and limited."""
        low, high = (_broadcast(limit) for limit in self.limits())
        factor, moves, apart = _broadcast(multiplier), self.moves(multiplier), self.apart()
        if moves is None or apart is None:
            rounded = round_ste(sums * factor)
        else:
            moves = _broadcast(moves)
            # A zero-point stays where it is when the scale is learned: of the moves the factor has no gradient.
            scaled = (sums + moves) * factor - moves * (factor - factor.detach())
            rounded = round_ste(scaled) - _broadcast(apart)
        if low.ndim:
            return rounded.clamp(low, high)
        narrow = not self.signed or self.bits < 8
        return rounded.clamp(float(low), float(high)) if narrow else clamp_ste(rounded, float(low), float(high))


def hidden(relu: bool) -> Site:
    """A site inside a network, whose scale calibration may change."""
    return Site(4 / 255, 0, False) if relu else Site(PORT_SCALE, 128, False)


def stream(channels: int) -> Site:
    """Where a trunk adds up: a scale per channel, which calibration may change. An addition needs equal scales of what
    it adds, not of its channels."""
    return Site(torch.full((channels,), PORT_SCALE), 128, fixed=False, shared=True)


class Joined(Site):
    """Sites side by side in one tensor, as a concatenation has them: (site, channels) each."""

    def __init__(self, *parts: tuple[Site, int]) -> None:
        super().__init__()
        self._parts = parts  # in a tuple, since they belong to others

    def steps(self) -> Tensor:
        return torch.cat([site.steps().expand(count) for site, count in self._parts])


def _broadcast(scale: Tensor) -> Tensor:
    return scale[:, None, None] if scale.ndim else scale


class Conv(nn.Module):
    """A convolution from one site to another; a target with zero-point 0 is a clamped ReLU.

    ``bits``: of the weights, one number or one per output channel (0: pruned). ``log_clip``: (O,) logarithm of the
    share of a channel's largest weight that the codes reach to. ``entry``: a site with fewer bits or other scales
    than the source, which the input is brought to first.
    """

    weight_limit: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, groups: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.kernel, self.groups, self.integer = kernel, groups, False
        fan = inputs // groups * kernel * kernel
        self.weight = nn.Parameter(torch.randn(outputs, inputs // groups, kernel, kernel) * gain / fan**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.log_clip = nn.Parameter(torch.zeros(outputs))
        self.entry: Site | None = None
        self.register_buffer("weight_limit", torch.empty(outputs), persistent=False)
        self.set_bits(WEIGHT_BITS)

    def set_bits(self, bits: int | tuple[int, ...]) -> None:
        """|q| <= 2**(bits - 1) - 1, for all output channels or each."""
        each = torch.tensor(bits, device=self.weight_limit.device).expand(self.weight_limit.shape)
        self.weight_limit.copy_(torch.where(each > 0, 2.0 ** (each - 1) - 1, 0.0))

    def forward(self, x: Tensor, source: Site, target: Site) -> Tensor:
        if not self.integer:
            y = F.conv2d(x, self.weight, self.bias, padding=self.kernel // 2, groups=self.groups)
            if target.observing:
                # The peak that 99.99 % of the values stay below, as the largest over calls.
                flat = y.detach().float().abs().flatten()
                peak = flat.kthvalue(max(1, int(flat.numel() * 0.9999))).values
                target.peak.copy_(torch.maximum(target.peak, peak))
            return target.clip(y)
        codes = source.codes(x)
        if self.entry is not None:
            gain, rescale = self.entry_integers(source)
            codes = self.entry.requantize(codes * _broadcast(gain), rescale)
            source = self.entry
        weight, bias, multiplier = self.integers(source, target)
        sums = self._byte_sums(codes, weight, bias) if source.wide else self._sums(codes, weight, bias)
        return target.requantize(sums, multiplier) * _broadcast(target.steps())

    def _sums(self, codes: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(codes, weight, bias, padding=self.kernel // 2, groups=self.groups)

    def _byte_sums(self, codes: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """float32(acc) of codes of 16 bits: either byte's sum is exact, and their one addition rounds."""
        high, biases = torch.floor(codes.detach() / 256), torch.floor(bias.detach() / 256)
        low = self._sums(codes - 256 * high, weight, bias - 256 * biases)
        return 256 * self._sums(high, weight, biases) + low

    def entry_integers(self, source: Site) -> tuple[Tensor, Tensor]:
        """(weights, float32 multipliers), each (I,): from the source's codes to the entry's."""
        assert self.entry is not None
        inputs = self.weight.shape[1] * self.groups
        rescale = (source.steps() / self.entry.steps()).expand(inputs)
        gain = torch.ones_like(rescale)
        if self.entry.pieces is not None:
            gain = 1 + (SPLIT_GAIN - 1) * (self.entry.pieces - 1)
        if self.entry.apart() is not None:
            # Of what is less than half a step at 128 codes every code is zero, with any such factor.
            gain, rescale = torch.full_like(rescale, SPLIT_GAIN), rescale.clamp(min=_LEAST_RESCALE)
        return gain.detach(), rescale / gain.detach()

    def per_input(self, values: Tensor) -> Tensor:
        """(I,) values of input channels in the shape that broadcasts against the weight."""
        return values[:, None, None, None] if self.groups > 1 else values[None, :, None, None]

    def integers(self, source: Site, target: Site) -> tuple[Tensor, Tensor, Tensor]:
        """(weight codes, biases, float32 multipliers per output channel), integer-valued float32. Scales per input
        channel are folded into the weights before those are quantized."""
        steps = source.steps()
        weight: Tensor = self.weight
        common = steps
        if steps.ndim:
            weight = weight * self.per_input(steps)
            common = torch.ones((), device=weight.device)
        limit = self.weight_limit
        least = 1e-5 * steps.detach().max() if steps.ndim else torch.tensor(1e-5)
        largest = torch.maximum(weight.detach().abs().amax((1, 2, 3)), least.to(weight))
        step = largest * torch.exp(self.log_clip) / limit.clamp(min=1)
        apart = target.apart()
        if apart is not None:  # weights that hardly count have larger steps
            step = torch.maximum(step, (apart.abs() * target.steps() / (common * _MOST_MOVED)).detach())
        edge = limit[:, None, None, None]
        codes = torch.maximum(torch.minimum(round_ste(weight / step[:, None, None, None]), edge), -edge)
        most = 2.0**29 if source.wide else 2.0**22  # a quarter of what an accumulator may be
        bias = round_ste(self.bias / (step * common)).clamp(-most, most)
        return codes, bias * (limit > 0), step * common / target.steps()
