"""The skeleton's steps and code lengths as tensors, and its one rounding to 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quaver.lab.models.rate import code_lengths
from quaver.lab.twin.rounding import clamp_ste, floor_ste
from quaver.lab.twin.transform import Planes
from quaver.runtime.model import IntegerModel


class Skeleton(nn.Module):
    """Nothing here is trained or saved."""

    lengths: Tensor
    steps: Tensor

    def __init__(self, model: IntegerModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("lengths", torch.from_numpy(code_lengths(model.tables)), persistent=False)
        self.register_buffer("steps", torch.from_numpy(model.steps).double(), persistent=False)

    def channel_steps(self, quality: Tensor) -> Tensor:
        """(B, 96, 1, 1) steps with 4 fractional bits, float64."""
        step = self.steps[quality]
        return torch.cat([step[:, :1].expand(-1, 64), step[:, 1:].expand(-1, 32)], 1)[..., None, None]


def plus(a: Planes, b: Planes) -> Planes:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def minus(a: Planes, b: Planes) -> Planes:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def sixteenths(frame: Planes) -> Planes:
    """8-bit samples with 4 fractional bits."""
    return 16 * frame[0].double(), 16 * frame[1].double(), 16 * frame[2].double()


def eight_bits(samples: Planes) -> Planes:
    """4 fractional bits to 8-bit samples: the codec's one rounding."""
    y, u, v = (clamp_ste(floor_ste((plane.double() + 8) / 16), 0, 255) for plane in samples)
    return y, u, v
