"""Scale-space flow, narrower than published, and what its brief training begins from.

At the published width (128 channels inside, 192 of latents) a training step of two 128x128 frames takes 2.7 s on one
core, and an analysis hours. Layers, kernels and what is called when are CompressAI's; only the widths are smaller.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import nn

INSIDE, LATENTS = 48, 64  # channels; published: 128 and 192
WIDE = 4.0  # gain before latents, which rounding would otherwise make zeros; few come back from that
FAINT = 0.1  # gain before pictures; a tenth of it before flow: a first prediction is nearly the picture before
SPREAD = 1.0  # of latents, first deviation that is expected: where it is too small the rate has no gradient
SHARP = -0.5  # first scale, -1..1: a little blur, along which flow has a gradient


def narrow_flow() -> nn.Module:
    """CompressAI's model with its networks made again by their own classes, INSIDE and LATENTS wide."""
    from compressai.models.video.google import ScaleSpaceFlow

    model = ScaleSpaceFlow()
    encoder, decoder, prior = (type(getattr(model, f"img_{part}")) for part in ("encoder", "decoder", "hyperprior"))
    for kind, seen, given in (("img", 3, LATENTS), ("motion", 6, LATENTS), ("res", 3, 2 * LATENTS)):
        analysis, synthesis = encoder(seen, INSIDE, LATENTS), decoder(3, given, INSIDE)
        entropy = prior(LATENTS, LATENTS)
        start(analysis, WIDE)
        start(synthesis, FAINT / 10 if kind == "motion" else FAINT)
        nn.init.constant_(entropy.hyper_decoder_scale.deconv3.bias, SPREAD)
        for part, network in (("encoder", analysis), ("decoder", synthesis), ("hyperprior", entropy)):
            setattr(model, f"{kind}_{part}", network)
    with torch.no_grad():
        model.img_decoder[-1].bias.fill_(0.5)  # grey
        model.motion_decoder[-1].bias[2] = SHARP
    return model


def start(network: nn.Sequential, gain: float) -> None:
    """Weights that keep a signal's size through ReLUs; `gain` instead in the last layer."""
    layers = [layer for layer in network if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in layers:
        met = 25 / 4 if isinstance(layer, nn.ConvTranspose2d) else 25  # of the kernel, at stride 2
        summed = met * layer.in_channels
        nn.init.normal_(layer.weight, std=(gain if layer is layers[-1] else sqrt(2)) / sqrt(summed))
        nn.init.zeros_(layer.bias)
