"""Layers that know the 8-bit grid they will run on.

A `Site` is where an activation is stored: its scale and zero-point. In float mode a site only clips; in integer
mode a convolution computes what the runtime computes (`quaver.runtime.graph`), on integer-valued float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quaver.lab.twin.rounding import clamp_ste, round_ste

PORT_SCALE = 1 / 64  # of every network input and output; zero-point 128
WEIGHT_BITS, ACTIVATION_BITS = 7, 8  # where no plan says otherwise; the runtime takes no more


class Site(nn.Module):
    """Where an activation is stored as u8: real value = scale * (code - zero), codes low..high.

    ``scale``: one, or one per channel. ``log_gain``: what integer-aware training multiplies the scale by, as a
    logarithm; ports are fixed and have none.
    """

    scale: Tensor
    peak: Tensor

    def __init__(self, scale: float = PORT_SCALE, zero: int = 128, fixed: bool = True) -> None:
        super().__init__()
        self.zero, self.fixed, self.bits = zero, fixed, ACTIVATION_BITS
        self.observing = False
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("peak", torch.tensor(0.0))
        self.log_gain = None if fixed else nn.Parameter(torch.zeros(()))

    @property
    def low(self) -> int:
        return 0 if self.zero == 0 else self.zero - (1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return self.low + (1 << self.bits) - 1

    def steps(self) -> Tensor:
        """The scale in use, () or (C,)."""
        return self.scale if self.log_gain is None else self.scale * torch.exp(self.log_gain)

    def clip(self, x: Tensor) -> Tensor:
        """Floating point: the limits that the codes will have."""
        if self.scale.ndim:
            scale = _broadcast(self.steps().detach())
            return torch.minimum(torch.maximum(x, (self.low - self.zero) * scale), (self.high - self.zero) * scale)
        step = float(self.steps().detach())
        low, high = (self.low - self.zero) * step, (self.high - self.zero) * step
        return x.clamp(low, high) if self.zero == 0 else clamp_ste(x, low, high)

    def codes(self, x: Tensor) -> Tensor:
        """Real values on this grid to codes minus zero-point, as integers in float32."""
        return round_ste(x.float() / _broadcast(self.steps()))

    def store(self, scaled: Tensor) -> Tensor:
        """Values in steps to codes minus zero-point: rounded and limited."""
        low, high = float(self.low - self.zero), float(self.high - self.zero)
        rounded = round_ste(scaled)
        return rounded.clamp(low, high) if self.zero == 0 or self.bits < 8 else clamp_ste(rounded, low, high)


def hidden(relu: bool) -> Site:
    """A site inside a network, whose scale calibration may change."""
    return Site(4 / 255, 0, False) if relu else Site(PORT_SCALE, 128, False)


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
            codes = self.entry.store(codes * _broadcast(self.entry_multiplier(source)))
            source = self.entry
        weight, bias, multiplier = self.integers(source, target)
        sums = F.conv2d(codes, weight, bias, padding=self.kernel // 2, groups=self.groups)
        return target.store(sums * multiplier[:, None, None]) * _broadcast(target.steps())

    def entry_multiplier(self, source: Site) -> Tensor:
        """float32 (I,): from the source's codes to the entry's."""
        assert self.entry is not None
        inputs = self.weight.shape[1] * self.groups
        return (source.steps() / self.entry.steps()).expand(inputs)

    def integers(self, source: Site, target: Site) -> tuple[Tensor, Tensor, Tensor]:
        """(weight codes, biases, float32 multipliers per output channel), integer-valued float32. Scales per input
        channel are folded into the weights before those are quantized."""
        steps = source.steps()
        weight: Tensor = self.weight
        common = steps
        if steps.ndim:
            weight = weight * (steps[:, None, None, None] if self.groups > 1 else steps[None, :, None, None])
            common = torch.ones((), device=weight.device)
        limit = self.weight_limit
        largest = weight.detach().abs().amax((1, 2, 3)).clamp(min=1e-5)
        step = largest * torch.exp(self.log_clip) / limit.clamp(min=1)
        edge = limit[:, None, None, None]
        codes = torch.maximum(torch.minimum(round_ste(weight / step[:, None, None, None]), edge), -edge)
        bias = round_ste(self.bias / (step * common)).clamp(-(2.0**22), 2.0**22)
        return codes, bias * (limit > 0), step * common / target.steps()


class GDN(nn.Module):
    """Generalized divisive normalization, float only. Source: Balle, Laparra, Simoncelli 2016."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(0.1 * torch.eye(channels))

    def forward(self, x: Tensor) -> Tensor:
        norm = F.conv2d(x * x, self.gamma.abs()[:, :, None, None], self.beta.abs() + 1e-6)
        return x * torch.rsqrt(norm)


class Block(nn.Module):
    """Separable residual block at `channels`: 1x1, depthwise 3x3, 1x1, then a 1x1 FFN of twice the width.
    6 C^2 + 9 C multiplications per position."""

    def __init__(self, channels: int, activation: str = "relu") -> None:
        super().__init__()
        self.enter, self.mix = Conv(channels, channels), Conv(channels, channels, 3, channels)
        self.leave = Conv(channels, channels, gain=0.3)
        self.widen, self.narrow = Conv(channels, 2 * channels), Conv(2 * channels, channels, gain=0.3)
        relu = activation == "relu"
        self.entered, self.mixed, self.widened = hidden(relu), hidden(False), hidden(relu)
        self.norms = nn.ModuleList() if relu else nn.ModuleList([GDN(channels), GDN(2 * channels)])

    def forward(self, x: Tensor, stream: Site) -> Tensor:
        h = self.enter(x, stream, self.entered)
        if self.norms:
            h = self.norms[0](h)
        h = self.mix(h, self.entered, self.mixed)
        x = stream.clip(x + self.leave(h, self.mixed, stream))
        h = self.widen(x, stream, self.widened)
        if self.norms:
            h = self.norms[1](h)
        return stream.clip(x + self.narrow(h, self.widened, stream))


class Trunk(nn.Module):
    """A 1x1 convolution into the stream, then blocks."""

    def __init__(self, inputs: int, channels: int, blocks: int, activation: str = "relu") -> None:
        super().__init__()
        self.enter = Conv(inputs, channels)
        self.blocks = nn.ModuleList(Block(channels, activation) for _ in range(blocks))

    def forward(self, x: Tensor, port: Site) -> Tensor:
        # Channels last: 1x1 convolutions are then plain matrix products (1.5 times as fast).
        x = self.enter(x.contiguous(memory_format=torch.channels_last), port, port)
        for block in self.blocks:
            x = block(x, port)
        return x


def head(channels: int, outputs: int, kernel: int = 1) -> Conv:
    """A last layer that starts at zero: the network begins as no correction at all."""
    conv = Conv(channels, outputs, kernel)
    nn.init.zeros_(conv.weight)
    return conv
