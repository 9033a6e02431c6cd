"""Rounding and clamping whose gradient is that of the identity (straight-through).

Source: Bengio, Leonard, Courville 2013. Written as autograd functions: the usual ``x + (f(x) - x).detach()`` costs
three passes over memory, and a training step is bound by those.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Floor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.floor(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Any, high: Any) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None


def floor_ste(x: Tensor) -> Tensor:
    """floor(x) forward, identity backward."""
    result: Tensor = _Floor.apply(x)
    return result


def round_ste(x: Tensor) -> Tensor:
    """Round half to even forward, identity backward."""
    result: Tensor = _Round.apply(x)
    return result


def clamp_ste(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Clamp (both limits numbers or both tensors) whose gradient still pulls values back that lie outside."""
    result: Tensor = _Clamp.apply(x, low, high)
    return result
