"""Where activations are stored: the grids of 8 bits, or of what a plan says, between layers.

In float mode a site only clips; in integer mode it stores codes as the runtime does, as integer-valued float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from quaver.lab.twin.rounding import clamp_ste, round_ste

PORT_SCALE = 1 / 64  # of every network input and output; zero-point 128
ACTIVATION_BITS = 8  # where no plan says otherwise; most that the runtime takes in one byte
WIDE_BITS = 16  # of what a 1x1 layer alone reads: two bytes


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
        low, high = (broadcast(limit * self.steps().detach()) for limit in self.reach())
        if low.ndim:
            low, high = low.to(x.dtype), high.to(x.dtype)
            return clamp_ste(x, low, high) if self.shared else torch.minimum(torch.maximum(x, low), high)
        return clamp_ste(x, float(low), float(high)) if self.signed else x.clamp(float(low), float(high))

    def codes(self, x: Tensor) -> Tensor:
        """Real values on this grid to codes minus zero-point, as integers in float32; of a split channel their sum."""
        return round_ste(x.float() / broadcast(self.steps()))

    def requantize(self, sums: Tensor, multiplier: Tensor) -> Tensor:
        """Accumulators (B, C, h, w) and multipliers (C,) to codes minus zero-point; of a split channel their sum."""
        if self.pieces is None:
            return self._store(sums, multiplier)
        half, shift = self.halves(multiplier)
        first = self._store(sums + broadcast(shift), half)
        second = self._store(sums - broadcast(shift), half)
        return first + second * broadcast(self.pieces - 1)

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
        low, high = (broadcast(limit) for limit in self.limits())
        factor, moves, apart = broadcast(multiplier), self.moves(multiplier), self.apart()
        if moves is None or apart is None:
            rounded = round_ste(sums * factor)
        else:
            moves = broadcast(moves)
            # A zero-point stays where it is when the scale is learned: of the moves the factor has no gradient.
            scaled = (sums + moves) * factor - moves * (factor - factor.detach())
            rounded = round_ste(scaled) - broadcast(apart)
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


def broadcast(scale: Tensor) -> Tensor:
    """() or (C,) to what broadcasts against (..., C, h, w)."""
    return scale[:, None, None] if scale.ndim else scale
