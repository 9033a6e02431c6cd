"""Scale-space flow, narrower than published, and what its brief training begins from.

At the published width (128 channels inside, 192 of latents) a training step of two 128x128 frames takes 2.7 s on one
core, and an analysis hours. Layers, kernels and what is called when are CompressAI's; only the widths are smaller.
Motion's encoder begins as a cost volume, as PWC-Net has one (Sun et al. 2018), made of its own first two layers:
vectors are learned from it in hundreds of steps, from two pictures beside each other in none.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import nn

INSIDE, LATENTS = 32, 48  # channels; published: 128 and 192
WIDE = 4.0  # gain before latents, which rounding would otherwise make zeros; few come back from that
FAINT = 0.1  # gain before pictures; a tenth of it before flow: a first prediction is nearly the picture before
SPREAD = 1.0  # of latents, first deviation that is expected: where it is too small the rate has no gradient
SHARP = -0.8  # first scale, -1..1: a little blur, along which flow has a gradient
MOVES = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if abs(i) + abs(j) <= 2]  # samples down and across
CONTRAST = 3.0  # gain of differences between pictures, which are small
# Steps of Adam, the same for all weights, are pixels where weights make vectors: those learn this much more slowly.
SLOW = {"motion_decoder.6.": 0.03, "motion_encoder.": 0.3, "motion_decoder.": 0.3}


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
        for kind in ("img", "res"):
            mirror(getattr(model, f"{kind}_encoder"), getattr(model, f"{kind}_decoder"))
        grey = model.img_encoder[0]
        grey.bias.copy_(-0.5 * grey.weight.sum((1, 2, 3)))  # seen as zeros
        model.img_decoder[-1].bias.fill_(0.5)
        model.motion_decoder[-1].bias[2] = SHARP
    compare(model.motion_encoder)
    return model


def start(network: nn.Sequential, gain: float) -> None:
    """Weights that keep a signal's size through ReLUs; `gain` instead in the last layer."""
    layers = [layer for layer in network if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in layers:
        met = 25 / 4 if isinstance(layer, nn.ConvTranspose2d) else 25  # of the kernel, at stride 2
        summed = met * layer.in_channels
        nn.init.normal_(layer.weight, std=(gain if layer is layers[-1] else sqrt(2)) / sqrt(summed))
        nn.init.zeros_(layer.bias)


@torch.no_grad()
def mirror(encoder: nn.Sequential, decoder: nn.Sequential) -> None:
    """Makes every second channel the negative of the one before, so that ReLUs lose nothing, and the decoder the
    encoder's transpose, which already draws some of the picture."""
    for layer, after in ((0, 2), (2, 4), (4, 6)):
        encoder[layer].weight[1::2] = -encoder[layer].weight[::2]
        encoder[after].weight[:, 1::2] = -encoder[after].weight[:, ::2]
    for layer in (0, 2, 4, 6):
        there = encoder[6 - layer].weight
        decoder[layer].weight[: len(there)] = there / (2 if layer else 2 * WIDE**2)


@torch.no_grad()
def compare(encoder: nn.Sequential) -> None:
    """Makes the first layer's channels x - past moved by one of MOVES, and the reverse; of the second layer's the first
    then say how much better each move fits than all do in the mean over 5x5, the next how much worse."""
    first, second = encoder[0].weight, encoder[2].weight
    count = len(MOVES)
    second *= 0.3
    for k, (i, j) in enumerate(MOVES):
        for channel, gain in ((2 * k, CONTRAST), (2 * k + 1, -CONTRAST)):
            first[channel] = 0
            first[channel, :3, 2, 2], first[channel, 3:, 2 + i, 2 + j] = gain, -gain
        for channel, gain in ((k, 0.1), (count + k, -0.1)):
            second[channel, : 2 * count] = gain / count
            second[channel, 2 * k : 2 * k + 2] -= gain
