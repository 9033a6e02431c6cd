"""Uniform quantization as pure functions: codes, ranges, scales, granularity. Gradients are in `gradients.py`.

    code = clamp(rint(x / scale) + zero, low, high)        real value = scale * (code - zero)

Rounding is half to even everywhere, as in the runtime and in ONNX. Codes are integer-valued float tensors: a layer
computes on them as they are. `scale`, `zero`, `low` and `high` broadcast against `x`; `spread` makes them do so:

    per tensor     ()                     one scale
    per channel    (C,)                   one for each index of an axis
    per group      (G,) and groups (C,)   channel c has the scale of group groups[c]
"""

from __future__ import annotations

import torch
from torch import Tensor

from quaver.errors import UsageError

SMALLEST_SCALE = 2.0**-100  # x / scale stays finite for any activation below 2^27


def weight_range(bits: int) -> tuple[int, int]:
    """Lowest and highest code of a weight: symmetric, so that -w has a code where w has one."""
    _check(bits)
    limit = 2 ** (bits - 1) - 1
    return -limit, limit


def activation_range(bits: int) -> tuple[int, int]:
    """Lowest and highest code of an activation, stored unsigned."""
    _check(bits)
    return 0, 2**bits - 1


def spread(values: Tensor, groups: Tensor | None, axis: int, ndim: int) -> Tensor:
    """Values of a tensor (), of channels (C,), or of groups (G,) with `groups` (C,), in a shape that broadcasts
    against a tensor of `ndim` dimensions whose channels lie on `axis`."""
    if values.ndim == 0:
        return values
    if groups is not None:
        values = values[groups]
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape)


def quantize(x: Tensor, scale: Tensor, zero: Tensor, low: Tensor | int, high: Tensor | int) -> Tensor:
    """Codes of x, integer-valued float32."""
    codes = torch.round(wide(x) / scale) + zero
    return torch.clamp(codes, *_limits(low, high, codes))


def dequantize(codes: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Real values of codes, float32."""
    return (codes - zero) * scale


def affine(lowest: Tensor, highest: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """(scale, zero) of the activation grid from `lowest` to `highest`, both widened to hold 0.

    Zero is a code, so padding with it is exact; where nothing is negative it is code 0. Rounding the zero-point may
    move the ends of the grid by half a step.
    """
    return affine_to(lowest, highest, torch.tensor(float(activation_range(bits)[1])))


def affine_to(lowest: Tensor, highest: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
    """`affine` with codes 0..top; where `top` is 0 (nothing is coded) the scale is 1."""
    lowest, highest, top = lowest.clamp(max=0), highest.clamp(min=0), top.to(lowest.device)
    scale = torch.where(top > 0, positive((highest - lowest) / top.clamp(min=1)), torch.ones(()).to(lowest.device))
    return scale, torch.minimum(torch.round(-lowest / scale).clamp(min=0), top)


def symmetric(peak: Tensor, limit: Tensor | int) -> Tensor:
    """The scale whose code `limit` is `peak`; where the limit is 0 (nothing is coded) any scale will do: 1."""
    limit = torch.as_tensor(limit, dtype=torch.float32, device=peak.device)
    return torch.where(limit > 0, positive(peak / limit.clamp(min=1)), torch.ones_like(limit))


def positive(scale: Tensor) -> Tensor:
    """A legal float32 scale: 1 where all data are 0, and never so small that a division by it overflows."""
    scale = scale.to(torch.float32)
    return torch.where(scale > 0, scale.clamp(min=SMALLEST_SCALE), torch.ones_like(scale))


def power_of_two(scale: Tensor, up: bool = True) -> Tensor:
    """The power of two at or above the scale, so that the range stays covered; or, without `up`, the nearest one
    in the logarithm (up where both are equally near). Exact: from the exponent, not through log2."""
    mantissa, exponent = torch.frexp(scale)  # mantissa in [0.5, 1)
    above = mantissa > 0.5 if up else mantissa >= 0.5**0.5
    return torch.ldexp(torch.ones_like(scale), exponent - 1 + above.to(exponent.dtype))


def wide(x: Tensor) -> Tensor:
    """x in float32 where it has a half precision, whose significant bits are fewer than a code's."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _check(bits: int) -> None:
    if not 2 <= bits <= 16:
        raise UsageError(f"{bits} bits: 2 to 16 are legal")


def _limits(low: Tensor | int, high: Tensor | int, like: Tensor) -> tuple[Tensor, Tensor]:
    def tensor(value: Tensor | int) -> Tensor:
        return torch.as_tensor(value, dtype=like.dtype, device=like.device)

    return tensor(low), tensor(high)
