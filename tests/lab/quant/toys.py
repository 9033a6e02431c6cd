"""A small recurrent model with what tracing cannot follow, and data for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FRAMES = 4


class Scaled(nn.Module):
    """A layer of its own kind, with arguments beside its input as the codec's convolutions have."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, gain: float) -> Tensor:
        return gain * F.conv2d(x, self.weight, self.bias)


class Recurrent(nn.Module):
    """Frames (T, 3, H, W) one by one; the first in the role of an intra frame, and a branch that looks at data."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 6, 3, padding=1)
        self.mix = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
        self.down = nn.Conv2d(6, 8, 2, stride=2, groups=2)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.gate = nn.Linear(6, 6)
        self.leave = Scaled(6, 3)
        self.role = ""

    def forward(self, frames: Tensor) -> Tensor:
        state, seen = torch.zeros_like(frames[:1]), []
        for number, frame in enumerate(frames.split(1)):
            self.role = "intra" if number == 0 else "inter"
            h = self.enter(frame - state).relu()
            for _ in range(1 + number % 2):
                h = h + self.mix(h)
            if float(h.detach().mean()) > 0:
                h = self.up(input=self.down(h).relu())
            gate = self.gate(h.mean((2, 3)))
            state = state + self.leave(h * torch.sigmoid(gate)[..., None, None], 0.5)
            seen.append(state)
        return torch.cat(seen)


def model(seed: int = 0) -> Recurrent:
    torch.manual_seed(seed)
    return Recurrent().eval()


def clip(seed: int = 0, frames: int = FRAMES) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    still = torch.randn(1, 3, 8, 8, generator=generator)
    return still + 0.3 * torch.randn(frames, 3, 8, 8, generator=generator)
