"""The learned parts of motion: estimator, encoder, decoder. Inputs and outputs are real numbers on the port grid.

All start as nothing: zero vectors, no corrections. All but the estimator work at 1/16 resolution, where one position
stands for 256 luma samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quaver.lab.models.blocks import Trunk, head
from quaver.lab.models.sites import Site
from quaver.runtime.network_inputs import PAST_MOTION_CHANNELS
from quaver.runtime.transform import CHANNELS

AVERAGES, DETAILS = 2, 6  # Haar latents of an area's vectors: one average and three details of two components


class MotionEstimator(nn.Module):
    """Vectors (B, 2, h8, w8), companded, from the transforms of the picture and of the past one, the last vectors and
    the quality. Only the encoder runs it."""

    def __init__(self, channels: int, blocks: int, activation: str) -> None:
        super().__init__()
        self.port = Site()
        self.trunk = Trunk(2 * CHANNELS + 3, channels, blocks, activation)
        self.vectors = head(channels, 2)

    def forward(self, picture: Tensor, reference: Tensor, last: Tensor, quality: Tensor) -> Tensor:
        x = self.trunk(torch.cat([picture, reference, last, quality], 1), self.port)
        return self.vectors(x, self.trunk.stream, self.port)


class MotionEncoder(nn.Module):
    """Corrections (B, 8, h16, w16) of the Haar latents of estimated vectors, from these and what is known of the past
    (11 planes). Only the encoder runs it."""

    def __init__(self, channels: int, blocks: int, activation: str) -> None:
        super().__init__()
        self.port = Site()
        self.trunk = Trunk(AVERAGES + DETAILS + PAST_MOTION_CHANNELS, channels, blocks, activation)
        self.correction = head(channels, AVERAGES + DETAILS)

    def forward(self, latents: Tensor, past: Tensor) -> Tensor:
        x = self.trunk(torch.cat([latents, past], 1), self.port)
        return self.correction(x, self.trunk.stream, self.port)


class AverageModel(nn.Module):
    """Entropy parameters of the averages' residuals, from what is known of the past: index corrections
    (B, 2, h16, w16)."""

    def __init__(self, channels: int, blocks: int, activation: str) -> None:
        super().__init__()
        self.port = Site()
        self.trunk = Trunk(PAST_MOTION_CHANNELS, channels, blocks, activation)
        self.index = head(channels, AVERAGES)

    def forward(self, past: Tensor) -> Tensor:
        return self.index(self.trunk(past, self.port), self.trunk.stream, self.port)


class DetailModel(nn.Module):
    """Entropy parameters of the details, from the averages, their residuals and the past: index corrections and means
    (B, 6, h16, w16)."""

    def __init__(self, channels: int, blocks: int, activation: str) -> None:
        super().__init__()
        self.port = Site()
        self.trunk = Trunk(2 * AVERAGES + PAST_MOTION_CHANNELS, channels, blocks, activation)
        self.index, self.mean = head(channels, DETAILS), head(channels, DETAILS)

    def forward(self, averages: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(torch.cat([averages, past], 1), self.port)
        stream = self.trunk.stream
        return self.index(x, stream, self.port), self.mean(x, stream, self.port)


class MotionDecoder(nn.Module):
    """The decoder's networks of motion: averages first, then details."""

    def __init__(self, channels: int, blocks: int, activation: str) -> None:
        super().__init__()
        self.average = AverageModel(channels, blocks, activation)
        self.detail = DetailModel(channels, blocks, activation)
