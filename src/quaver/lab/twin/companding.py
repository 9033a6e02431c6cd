"""Twin of `quaver.runtime.companding`: what a network's output stands for, with the slope of the curve."""

from __future__ import annotations

import torch
from torch import Tensor

from quaver.runtime.companding import MAGNITUDES

_MAGNITUDES = torch.from_numpy(MAGNITUDES).float()


def expand(codes: Tensor) -> Tensor:
    """Real-valued codes minus 128 to values with 6 fractional bits; forward equals the integer definition on
    the rounded codes (half to even), backward is the slope of the interpolated curve."""
    rounded = torch.round(codes).clamp(-127, 127)
    # Not abs() and sign(): their slope at zero, where training begins, would be zero.
    sign = torch.where(codes.detach() < 0, -1.0, 1.0)
    distance = (codes * sign).clamp(max=126.999)
    low = distance.detach().floor().long()
    below, above = _MAGNITUDES[low], _MAGNITUDES[low + 1]
    smooth = (below + (above - below) * (distance - low)) * sign
    exact = _MAGNITUDES[rounded.abs().long()] * rounded.sign()
    return smooth + (exact - smooth).detach()
