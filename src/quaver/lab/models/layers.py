"""Layers that know the 8-bit grid they will run on.

A `Site` is where an activation is stored: its scale and zero-point. In float mode a site only clips; in integer
mode a convolution computes what the runtime computes (`quaver.runtime.graph`), on integer-valued float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quaver.lab.twin.rounding import clamp_ste, round_ste

WEIGHT_LIMIT = 63  # 7 bits, symmetric; the runtime takes up to 64
PORT_SCALE = 1 / 64  # of every network input and output; zero-point 128


class Site(nn.Module):
    """Where an activation is stored as u8: real value = scale * (code - zero)."""

    scale: Tensor
    peak: Tensor

    def __init__(self, scale: float = PORT_SCALE, zero: int = 128, fixed: bool = True) -> None:
        super().__init__()
        self.zero, self.fixed = zero, fixed
        self.observing = False
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("peak", torch.tensor(0.0))

    @property
    def limits(self) -> tuple[float, float]:
        scale = float(self.scale)
        return -self.zero * scale, (255 - self.zero) * scale

    def clip(self, x: Tensor) -> Tensor:
        low, high = self.limits
        return x.clamp(low, high) if self.zero == 0 else clamp_ste(x, low, high)

    def quantize(self, x: Tensor) -> Tensor:
        """Real values onto the grid, straight through."""
        return (round_ste(x / self.scale)).clamp(-self.zero, 255 - self.zero) * self.scale


def hidden(relu: bool) -> Site:
    """A site inside a network, whose scale calibration may change."""
    return Site(4 / 255, 0, False) if relu else Site(PORT_SCALE, 128, False)


class Conv(nn.Module):
    """A convolution from one site to another; a target with zero-point 0 is a clamped ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, groups: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.kernel, self.groups, self.integer = kernel, groups, False
        fan = inputs // groups * kernel * kernel
        self.weight = nn.Parameter(torch.randn(outputs, inputs // groups, kernel, kernel) * gain / fan**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, source: Site, target: Site) -> Tensor:
        if not self.integer:
            y = F.conv2d(x, self.weight, self.bias, padding=self.kernel // 2, groups=self.groups)
            if target.observing:
                # The peak that 99.99 % of the values stay below, as the largest over calls.
                flat = y.detach().float().abs().flatten()
                peak = flat.kthvalue(max(1, int(flat.numel() * 0.9999))).values
                target.peak.copy_(torch.maximum(target.peak, peak))
            return target.clip(y)
        weight, bias, multiplier = self.integers(source, target)
        codes = round_ste(x.float() / source.scale)
        sums = F.conv2d(codes, weight, bias, padding=self.kernel // 2, groups=self.groups)
        low, high = -float(target.zero), 255.0 - target.zero
        scaled = round_ste(sums * multiplier[:, None, None])
        clipped = scaled.clamp(low, high) if target.zero == 0 else clamp_ste(scaled, low, high)
        return clipped * target.scale

    def integers(self, source: Site, target: Site) -> tuple[Tensor, Tensor, Tensor]:
        """(weights in -64..64, biases, float32 multipliers per output channel), integer-valued float32."""
        step = self.weight.detach().abs().amax((1, 2, 3)).clamp(min=1e-5) / WEIGHT_LIMIT
        weight = round_ste(self.weight / step[:, None, None, None])
        bias = round_ste(self.bias / (step * source.scale)).clamp(-(2.0**22), 2.0**22)
        return weight, bias, (step * source.scale / target.scale).detach()


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
