"""How scale-space flow's training begins: intra, and motion between photos that move, before anything is a residual.

Begun with everything at once, the first pictures are so bad that no vector makes a better one, and motion's latents
become zero for good.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from quaver.lab.analyse.adapter import Planes, rgb_distortion, to_rgb

from .adapter import CompressAIAdapter

RATE = 0.1  # share of the bits that counts: enough for the priors to learn
SAME = 4.0  # squared error that is as good as none
MOTION = 100.0  # weight of motion, whose gradients are the smaller ones


def motion_first(adapter: CompressAIAdapter, frames: Sequence[Planes], points: Tensor) -> Tensor:
    """J (B,) of the first frame, coded intra, and the logarithm of what prediction from it, as it was, leaves in the
    second: squares would be of the few photos that leap. Motion's encoder learns from latents as they are: rounding or
    their bits would make them zero before they are of use. Its prior and its decoder learn from coded ones beside."""
    model, lmbda = adapter.module, adapter.lambdas[0]
    _, rate, distortion = adapter.step(frames[0], None, points)
    past, x = (to_rgb(frame) for frame in frames[:2])
    latent = model.motion_encoder(torch.cat([x, past], 1))
    coded, likelihoods = model.motion_hyperprior(latent.detach())
    rate = rate + sum(-p.log2().sum((1, 2, 3)) for p in likelihoods.values()) / x[0, 0].numel()
    predicted = [model.forward_prediction(past, model.motion_decoder(y)) for y in (latent, coded)]
    left = sum((rgb_distortion(picture, frames[1]) + SAME).log() for picture in predicted)
    return RATE * rate + lmbda * distortion + MOTION * left
