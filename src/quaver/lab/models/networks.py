"""The learned parts of a frame's path. Inputs and outputs are real numbers on the port grid (scale 1/64)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quaver.lab.models.blocks import Trunk, head
from quaver.lab.models.layers import Conv
from quaver.lab.models.sites import Joined, Site, hidden
from quaver.runtime.network_inputs import SAMPLE_CHANNELS
from quaver.runtime.transform import CHANNELS


class EntropyModel(nn.Module):
    """Context and entropy parameters: from what both sides know before the symbols.

    Inputs (B, inputs, h8, w8). Outputs: features (B, C, h8, w8) for the contextual decoder, index corrections and
    means (B, outputs, h8, w8).
    """

    def __init__(self, inputs: int, outputs: int, channels: int, context: int, blocks: int, activation: str) -> None:
        super().__init__()
        self.port = Site()
        self.context = Trunk(inputs, channels, context, activation)
        self.trunk = Trunk(channels, channels, blocks, activation)
        self.index, self.mean = head(channels, outputs), head(channels, outputs)

    def forward(self, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.context(known, self.port)
        x = self.trunk(features, self.context.stream)
        stream = self.trunk.stream
        return features, self.index(x, stream, self.port), self.mean(x, stream, self.port)


class ContextualDecoder(nn.Module):
    """Corrections (B, 96, h8, w8) to the decoded latents, from these and the context's features. `site`: where
    these are stored; floating point does not need it."""

    def __init__(self, channels: int, blocks: int, activation: str) -> None:
        super().__init__()
        self.port = Site()
        self.trunk = Trunk(CHANNELS + channels, channels, blocks, activation)
        self.correction = head(channels, CHANNELS)

    def source(self, site: Site) -> Site:
        """Where the trunk reads from."""
        return Joined((self.port, CHANNELS), (site, self.trunk.enter.weight.shape[1] - CHANNELS))

    def forward(self, latents: Tensor, features: Tensor, site: Site | None = None) -> Tensor:
        x = self.trunk(torch.cat([latents, features], 1), self.source(site or self.port))
        return self.correction(x, self.trunk.stream, self.port)


class ContextualEncoder(nn.Module):
    """Corrections (B, 96, h8, w8) to the latents before they are quantized, from the transforms of the picture
    and its prediction. Only the encoder runs it."""

    def __init__(self, channels: int, blocks: int, activation: str) -> None:
        super().__init__()
        self.port = Site()
        self.trunk = Trunk(2 * CHANNELS + 1, channels, blocks, activation)
        self.correction = head(channels, CHANNELS)

    def forward(self, picture: Tensor, prediction: Tensor, quality: Tensor) -> Tensor:
        x = self.trunk(torch.cat([picture, prediction, quality], 1), self.port)
        return self.correction(x, self.trunk.stream, self.port)


class LoopFilter(nn.Module):
    """Corrections of samples (B, 6, H/2, W/2) from the picture before it, the prediction and the quality."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.port = Site()
        self.enter = Conv(2 * SAMPLE_CHANNELS + 1, channels, 3)
        self.middle = Conv(channels, channels, 3)
        self.entered, self.middled = hidden(True), hidden(True)
        self.correction = head(channels, SAMPLE_CHANNELS, 3)

    def forward(self, samples: Tensor) -> Tensor:
        x = self.enter(samples.contiguous(memory_format=torch.channels_last), self.port, self.entered)
        x = self.middle(x, self.entered, self.middled)
        return self.correction(x, self.middled, self.port)
