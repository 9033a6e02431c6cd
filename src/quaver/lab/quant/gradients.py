"""Fake quantization (real values on the grid) with the gradients that training uses.

    fixed      gradient 1 inside the range, 0 outside   straight-through, Bengio, Leonard, Courville 2013
    lsq        learned step                             Esser et al., Learned Step Size Quantization, ICLR 2020, 2.1-2.2
    lsq_plus   learned step and offset                  Bhalgat et al., LSQ+, CVPR Workshops 2020, 3.1
    pact       learned clip                             Choi et al., PACT, 2018, section 3

Written as autograd functions: as compositions each would cost several passes over memory. Parameters broadcast
against x (`primitives.spread`), and their gradients are summed back to their own shape. `low` and `high` are limits
of rint(x / step), that is codes minus zero-point, except in `lsq_plus`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Fixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
        rounded = torch.round(x / scale)
        codes = torch.clamp(rounded, low, high)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(codes == rounded)
        return codes * scale

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None, None


class _Lsq(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: Tensor, high: Tensor, gain: float) -> Tensor:
        ctx.save_for_backward(x, step, low, high)
        ctx.gain = gain
        return torch.clamp(torch.round(x / step), low, high) * step

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, step, low, high = ctx.saved_tensors
        ratio = x / step
        inside = (ratio > low) & (ratio < high)
        slope = torch.where(inside, torch.round(ratio) - ratio, torch.clamp(ratio, low, high))
        return gradient * inside, ctx.gain * (gradient * slope).sum_to_size(step.shape), None, None, None


class _LsqPlus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, offset: Tensor, low: Tensor, high: Tensor, gain: float) -> Tensor:
        ctx.save_for_backward(x, step, offset, low, high)
        ctx.gain = gain
        zero = torch.clamp(torch.round(-offset / step), low, high)
        return (torch.clamp(torch.round(x / step) + zero, low, high) - zero) * step

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        x, step, offset, low, high = ctx.saved_tensors
        ratio = (x - offset) / step
        inside = (ratio > low) & (ratio < high)
        slope = torch.where(inside, torch.round(ratio) - ratio, torch.clamp(ratio, low, high))
        kept = gradient * inside
        step_gradient = ctx.gain * (gradient * slope).sum_to_size(step.shape)
        offset_gradient = ctx.gain * (gradient - kept).sum_to_size(offset.shape)
        return kept, step_gradient, offset_gradient, None, None, None


class _Pact(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, clip: Tensor, high: Tensor) -> Tensor:
        ctx.save_for_backward(x, clip)
        step = clip / high
        return torch.clamp(torch.round(x / step), torch.zeros_like(high), high) * step

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, clip = ctx.saved_tensors
        above = x >= clip
        return gradient * ((x >= 0) & ~above), (gradient * above).sum_to_size(clip.shape), None


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        mantissa, exponent = torch.frexp(x)
        up = (mantissa >= 0.5**0.5).to(exponent.dtype)
        return torch.ldexp(torch.ones_like(x), exponent - 1 + up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def fake_quantize(x: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """scale * clamp(rint(x / scale), low, high); the gradient passes to x where x is not clipped."""
    result: Tensor = _Fixed.apply(x, scale, low, high)
    return result


def lsq(x: Tensor, step: Tensor, low: Tensor, high: Tensor, gain: float = 1.0) -> Tensor:
    """As `fake_quantize`, with a gradient for the step. `gain` scales that gradient: 1 / sqrt(N * high), where N
    elements share a step (section 2.2)."""
    result: Tensor = _Lsq.apply(x, step, low, high, gain)
    return result


def lsq_plus(x: Tensor, step: Tensor, offset: Tensor, low: Tensor, high: Tensor, gain: float = 1.0) -> Tensor:
    """Quantized from `offset` on: the real value of code `low` = 0 is about `offset`. `low`, `high` limit the code.

    Unlike the paper's, the forward pass rounds the offset to a whole zero-point, since profile 1 has no other and
    padding must be exact; its gradient is the paper's.
    """
    result: Tensor = _LsqPlus.apply(x, step, offset, low, high, gain)
    return result


def pact(x: Tensor, clip: Tensor, high: Tensor) -> Tensor:
    """min(max(x, 0), clip) on the grid clip / high * (0, 1, ..., high). The clip's gradient is 1 where x reaches it."""
    result: Tensor = _Pact.apply(x, clip, high)
    return result


def power_of_two_ste(scale: Tensor) -> Tensor:
    """The nearest power of two in the logarithm, identity backward (as Jain et al., TQT, MLSys 2020, rounds log2)."""
    result: Tensor = _Scaled.apply(scale)
    return result
