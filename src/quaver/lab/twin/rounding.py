"""Rounding whose gradient is that of the identity."""

from __future__ import annotations

import torch
from torch import Tensor


def floor_ste(x: Tensor) -> Tensor:
    """floor(x) forward, identity backward. Source: Bengio, Leonard, Courville 2013 (straight-through)."""
    return x + (torch.floor(x) - x).detach()


def round_ste(x: Tensor) -> Tensor:
    """Round half to even forward, identity backward."""
    return x + (torch.round(x) - x).detach()


def clamp_ste(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp whose gradient still pulls values back that lie outside."""
    return x + (x.clamp(low, high) - x).detach()
