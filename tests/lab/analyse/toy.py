"""A recurrent codec of a few hundred weights, and its adapter: what docs/laboratory/adapter.md shows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quaver.lab.analyse.adapter import Planes, Step
from quaver.lab.analyse.clips import ClipSet
from quaver.lab.models.codec import Codec, Preset
from quaver.runtime.model import load_model


class ToyCodec(nn.Module):
    """Luma only. One layer, `entropy`, serves intra and inter frames."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.encoder = nn.Sequential(nn.Conv2d(2, 8, 4, 4))
        self.decoder = nn.Sequential(nn.ConvTranspose2d(8, 4, 4, 4), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))
        self.context = nn.ModuleDict({"entropy": nn.Conv2d(1, 8, 1), "memory": nn.Conv2d(1, 1, 3, padding=1)})
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
            self.context["memory"].weight.copy_(torch.tensor([[[[0, 0.05, 0], [0.05, 0.8, 0.05], [0, 0.05, 0]]]]))

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (B, 1, H, W) from pictures and the past one; and bits (B,)."""
        predicted = self.context["memory"](past)
        latents = self.encoder(torch.cat([x, predicted], 1)) * 4
        noisy = latents + torch.rand_like(latents) - 0.5 if torch.is_grad_enabled() else latents.round()
        scale = F.softplus(self.context["entropy"](F.avg_pool2d(predicted, 4))) + 0.1
        bits = torch.log2(2 * scale) + 1.4427 * noisy.abs() / scale
        return predicted + self.decoder(noisy / 4), bits.sum((1, 2, 3))


class ToyAdapter:
    """As small as an adapter gets. `sabotage`: "nan", or "die" in a worker process, from that step on."""

    name = "toy"
    surrogate = "additive uniform noise"
    lambdas = (0.002, 0.01)
    modules = ("encoder", "decoder", "context")
    encoder_only = ("encoder",)

    def __init__(self, sabotage: str = "") -> None:
        self.module, self._role = ToyCodec().eval(), ""
        self._sabotage, self._process = sabotage, os.getpid()

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"sabotage": self._sabotage}

    def role(self) -> str:
        return self._role

    def step(self, frame: Planes, state: Tensor | None, points: Tensor) -> Step:
        if self._sabotage == "die" and os.getpid() != self._process:
            os._exit(9)
        x = (frame[0].float()[:, None] - 128) / 64
        self._role = "intra" if state is None else "inter"
        picture, bits = self.module(x, torch.zeros_like(x) if state is None else state)
        rate, distortion = bits / x[0].numel(), (64 * (picture - x)).square().mean((1, 2, 3))
        if self._sabotage == "nan" and bool((self.module.encoder[0].weight != ToyCodec().encoder[0].weight).any()):
            distortion = distortion * float("nan")
        return Step(picture, rate, distortion)

    def state_parts(self, state: Tensor) -> Mapping[str, Tensor]:
        return {"picture": state}

    def with_state_parts(self, state: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
        return parts.get("picture", state)


def tiny_codec() -> Codec:
    """Quaver's, with few channels and corrections that are random, so that every layer matters."""
    torch.manual_seed(3)
    codec = Codec(Preset(16, 1, 1, 1, 1, 8), load_model("skeleton"))
    for parameter in codec.parameters():
        if parameter.ndim == 4 and not bool(parameter.detach().any()):
            torch.nn.init.normal_(parameter, std=0.05)
    return codec


def toy_clips(count: int = 2, frames: int = 4, side: int = 16) -> ClipSet:
    """Soft patterns that move."""
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    t = np.arange(frames)[:, None, None]
    planes = [128 + 60 * np.sin((x + (1 + n) * t) / (3 + n)) * np.cos((y - t) / 4) for n in range(count)]
    luma = np.stack(planes).round().astype(np.uint8)
    return ClipSet(tuple(f"toy {n}" for n in range(count)), luma, luma[..., ::2, ::2] // 2 + 60, luma[..., ::2, ::2])
