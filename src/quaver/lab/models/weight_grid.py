"""The grid that a convolution's weights are rounded on, and weights that are given codes on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SMALLEST = 1e-5  # weights below it are all zero


@dataclass(frozen=True, slots=True, eq=False)
class WeightGrid:
    """weight: (O, I, k, k), the scales of input channels folded in, where these have their own. largest: (O,) of their
    magnitudes. step: (O,) between two codes. common: () what is left of the input's scale."""

    weight: Tensor
    largest: Tensor
    step: Tensor
    common: Tensor

    @classmethod
    def of(cls, weight: Tensor, inputs: Tensor, log_clip: Tensor, limit: Tensor, least: Tensor | None) -> WeightGrid:
        """inputs: the input's scale, (), or those of its channels in the shape that broadcasts against the weight.
        log_clip, limit: (O,) as a `Conv` has them. least: (O,) step times common that there may be."""
        common, smallest = inputs, torch.tensor(_SMALLEST)
        if inputs.ndim:
            weight = weight * inputs
            common, smallest = torch.ones((), device=weight.device), _SMALLEST * inputs.detach().max()
        largest = torch.maximum(weight.detach().abs().amax((1, 2, 3)), smallest.to(weight))
        step = largest * torch.exp(log_clip) / limit.clamp(min=1)
        if least is not None:
            step = torch.maximum(step, (least / common).detach())
        return cls(weight, largest, step, common)

    def values(self, codes: Tensor, inputs: Tensor) -> Tensor:
        """The weights that codes (O, I, k, k) stand for; `inputs` as above."""
        folded = codes * self.step[:, None, None, None]
        return folded / inputs if inputs.ndim else folded
