"""The quantization error E_q: what a quantizer changes, over what there was. One definition for all its uses."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 1e-30


def quantization_error(x: Tensor, quantized: Tensor) -> Tensor:
    """||quantized - x||^2 / ||x||^2, a scalar: the reciprocal of SQNR as a ratio. Relative, so that errors of layers
    whose values differ in size can be added. x is taken as given: the gradient moves `quantized` towards it, and so
    what decides it (bits, steps; weights only through their codes)."""
    x = x.detach()
    return (quantized - x).square().sum() / x.square().sum().clamp(min=SMALLEST)


def mean_error(errors: list[Tensor]) -> Tensor:
    """E_q of a codec: the mean over its quantizers; 0 without any."""
    return torch.stack(errors).mean() if errors else torch.zeros(())
