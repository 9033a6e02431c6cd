"""What networks are made of: residual blocks, trunks of them, heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quaver.lab.models.layers import Conv
from quaver.lab.models.sites import Site, hidden, stream


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
        self.enter, self.stream = Conv(inputs, channels), stream(channels)
        self.blocks = nn.ModuleList(Block(channels, activation) for _ in range(blocks))

    def forward(self, x: Tensor, source: Site) -> Tensor:
        # Channels last: 1x1 convolutions are then plain matrix products (1.5 times as fast).
        x = self.enter(x.contiguous(memory_format=torch.channels_last), source, self.stream)
        for block in self.blocks:
            x = block(x, self.stream)
        return x


def head(channels: int, outputs: int, kernel: int = 1) -> Conv:
    """A last layer that starts at zero: the network begins as no correction at all."""
    conv = Conv(channels, outputs, kernel)
    nn.init.zeros_(conv.weight)
    return conv
