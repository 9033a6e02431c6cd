"""A codec of DCVC's shape, small enough to read: motion, a mv autoencoder, a contextual autoencoder.

    frame ──────────────┬──────────────────────────────┐
    past picture ─> motion ─> mv encoder ≈> mv decoder  │
                                               │ flow   │
    past feature ───────> feature ─> warp ─> context ─> encoder ≈> decoder ─> reconstruct ─> picture, feature

≈> is quantization with a rate estimate: Gaussian where a prior gives mean and scale, factorized for hyper latents.
After Li, Li, Lu: Deep Contextual Video Compression (2021); Sheng et al.: Temporal Context Mining (2022), from which it
has the feature that recirculates. Like many research codecs it keeps its state in attributes; `reset` forgets it.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DOWN = 16  # sides of pictures are multiples of it: latents are 8 times smaller, hyper latents 16 times
WIDE = 4.0  # latents over what they are made of, before training
CodedLatent = tuple[Tensor, Tensor]  # quantized values, bits (B,)


class GDN(nn.Module):
    """x / sqrt(beta + gamma x²) over channels, or times it (Ballé et al. 2016). Its gamma is no layer's `weight`."""

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(sqrt(0.1) * torch.eye(channels))

    def forward(self, x: Tensor) -> Tensor:
        norm = F.conv2d(x * x, self.gamma.square()[..., None, None], self.beta.square() + 1e-3)
        return x * (norm.sqrt() if self.inverse else norm.rsqrt())


def down(inputs: int, outputs: int, gain: float = 1.0) -> nn.Conv2d:
    """Half the size. gain: of the first weights, output's over input's deviation."""
    layer = nn.Conv2d(inputs, outputs, 5, 2, 2)
    nn.init.normal_(layer.weight, std=gain / sqrt(25 * inputs))
    nn.init.zeros_(layer.bias)
    return layer


def up(inputs: int, outputs: int, gain: float = 1.0) -> nn.ConvTranspose2d:
    """Twice the size; a quarter of the kernel meets each output."""
    layer = nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, 1)
    nn.init.normal_(layer.weight, std=gain / sqrt(25 * inputs / 4))
    nn.init.zeros_(layer.bias)
    return layer


# Latents begin several steps wide: from narrower ones, that rounding makes zeros, the rate never lets them out.
def analysis(inputs: int, n: int) -> nn.Sequential:
    return nn.Sequential(down(inputs, n), GDN(n), down(n, n), GDN(n), down(n, n, WIDE))


def synthesis(n: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(up(n, n, 1 / WIDE), GDN(n, True), up(n, n), GDN(n, True), up(n, outputs))


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """x (B, C, H, W) at positions moved by flow (B, 2, H, W) samples, bilinear."""
    height, width = x.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    at_x, at_y = columns + flow[:, 0], rows + flow[:, 1]
    grid = torch.stack([2 * at_x / (width - 1) - 1, 2 * at_y / (height - 1) - 1], -1)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=True)


def mismatch(x: Tensor, past: Tensor) -> Tensor:
    """(B, 9, H, W): how badly x's surroundings fit past's when moved by -1, 0, 1 samples down and across, each over
    their mean, less 1. A cost volume, as of PWC-Net (Sun et al. 2018), from which small motion is easy to learn."""
    height, width = x.shape[-2:]
    wide = F.pad(past, (1, 1, 1, 1), mode="replicate")
    moved = [wide[..., i : i + height, j : j + width] for i in range(3) for j in range(3)]
    costs = torch.cat([(x - there).abs().mean(1, keepdim=True) for there in moved], 1)
    costs = F.avg_pool2d(costs, 5, 1, 2, count_include_pad=False) + 1e-3
    return costs / costs.mean(1, keepdim=True) - 1


class Motion(nn.Module):
    """Flow from frame to past picture, coarse to fine, a network per scale (SPyNet, Ranjan and Black 2017)."""

    def __init__(self, n: int, scales: int = 3) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(14, n, 5, padding=2),
                nn.ReLU(),
                nn.Conv2d(n, n, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(n, 2, 3, padding=1),
            )
            for _ in range(scales)
        )

    def forward(self, x: Tensor, past: Tensor) -> Tensor:
        flow = torch.zeros_like(x[:, :2, :: 2 ** len(self.scales), :: 2 ** len(self.scales)])
        for number, net in enumerate(self.scales):
            size = 2 ** (len(self.scales) - 1 - number)
            here, there = F.avg_pool2d(x, size), F.avg_pool2d(past, size)
            flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
            flow = flow + net(torch.cat([mismatch(here, warp(there, flow)), here - 0.5, flow], 1))
        return flow


class Hyperprior(nn.Module):
    """Codes a latent: a hyper latent and what is known already give its mean and scale (Minnen et al. 2018)."""

    def __init__(self, n: int, known: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(n, n, 3, padding=1), nn.ReLU(), down(n, n))
        self.decoder = nn.Sequential(up(n, n), nn.ReLU())
        self.fuse = nn.Sequential(nn.Conv2d(n + known, 2 * n, 3, padding=1), nn.ReLU(), nn.Conv2d(2 * n, 2 * n, 1))
        self.spread = nn.Parameter(torch.zeros(n))  # of the factorized hyper latent

    def forward(self, y: Tensor, known: Tensor) -> CodedLatent:
        z = self.encoder(y)
        z_hat, bits = coded(z, torch.zeros_like(z), F.softplus(self.spread)[:, None, None].expand_as(z))
        mean, scale = self.fuse(torch.cat([self.decoder(z_hat), known], 1)).chunk(2, 1)
        y_hat, more = coded(y, mean, F.softplus(scale))
        return y_hat, bits + more


def coded(x: Tensor, mean: Tensor, scale: Tensor) -> CodedLatent:
    """Rounded about the mean; with gradients on, additive uniform noise in its place. Bits under a Gaussian."""
    noise = torch.rand_like(x) - 0.5
    centred = x - mean + noise if torch.is_grad_enabled() else (x - mean).round()
    scale = scale.clamp_min(0.11)
    inside = torch.special.ndtr((0.5 - centred.abs()) / scale) - torch.special.ndtr((-0.5 - centred.abs()) / scale)
    return mean + centred, -inside.clamp_min(1e-9).log2().sum((1, 2, 3))


class DcvcShaped(nn.Module):
    """Call it with frames (B, 3, H, W) in 0..1, one after the other: (picture, bits (B,))."""

    def __init__(self, n: int = 16) -> None:
        super().__init__()
        self.intra_encoder, self.intra_decoder = analysis(3, n), synthesis(n, n)
        self.intra_prior, self.intra_out = Hyperprior(n, 0), nn.Conv2d(n, 3, 3, padding=1)
        self.motion = Motion(n)
        self.mv_encoder, self.mv_decoder = analysis(2, n), synthesis(n, 2)
        self.mv_prior = Hyperprior(n, n)  # knows the past vectors' latent
        self.feature = nn.Sequential(nn.Conv2d(n, n, 3, padding=1), nn.ReLU(), nn.Conv2d(n, n, 3, padding=1))
        self.context = nn.Sequential(nn.Conv2d(n + 3, n, 3, padding=1), nn.ReLU(), nn.Conv2d(n, n, 3, padding=1))
        self.encoder, self.decoder = analysis(3 + n, n), synthesis(n, n)
        self.temporal = analysis(n, n)
        self.prior = Hyperprior(n, n)
        self.reconstruct = nn.Sequential(nn.Conv2d(2 * n, n, 3, padding=1), nn.ReLU())
        self.out = nn.Conv2d(n, 3, 3, padding=1)
        self.reset()

    def reset(self) -> None:
        """The next frame is the first of its clip."""
        self._picture: Tensor | None = None
        self._feature: Tensor | None = None
        self._mv: Tensor | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._intra(x) if self._picture is None else self._inter(x)

    def coded_flow(self, flow: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The vectors' latent, the flow (B, 2, H, W) that it stands for, and bits. past: the latent before."""
        latent, bits = self.mv_prior(self.mv_encoder(flow), past)
        return latent, self.mv_decoder(latent), bits

    def _intra(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.intra_encoder(x - 0.5)
        y_hat, bits = self.intra_prior(y, y[:, :0])
        self._feature = self.intra_decoder(y_hat)
        self._picture = self.intra_out(self._feature) + 0.5
        self._mv = torch.zeros_like(y)
        return self._picture, bits

    def _inter(self, x: Tensor) -> tuple[Tensor, Tensor]:
        past = self._picture
        self._mv, flow, mv_bits = self.coded_flow(self.motion(x, past), self._mv)
        predicted = warp(past, flow)
        context = self.context(torch.cat([warp(self.feature(self._feature), flow), predicted - 0.5], 1))
        y = self.encoder(torch.cat([x - 0.5, context], 1))
        y_hat, bits = self.prior(y, self.temporal(context))
        self._feature = self.reconstruct(torch.cat([self.decoder(y_hat), context], 1))
        self._picture = predicted + self.out(self._feature)
        return self._picture, bits + mv_bits
