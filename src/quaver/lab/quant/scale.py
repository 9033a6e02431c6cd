"""Scale: the grid of a weight or of a call site's input. What observers choose, quantizers start from and lowering
copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.quant import primitives
from quaver.lab.quant.gradients import fake_quantize

Grid = tuple[Tensor, Tensor, Tensor, Tensor]  # scale, zero, low, high, each broadcasting against the data


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """real value = scale * (code - zero), low <= code <= high.

    scale, zero, low, high: float32, () for the whole tensor, (C,) for channels, (G,) for groups; zero, low and high
    hold integers. Each may be () beside a longer scale.
    groups: (C,) int64, the group of each channel; None without groups.
    split: (C,) bool, channels that are coded as the sum of two halves of the same grid, which doubles their range;
    None without such channels. Source: Zhao et al., Outlier Channel Splitting, ICML 2019; with its
    quantization-aware halves (section 3.3) the sum has the rounding of one code of twice the range.
    axis: of the channels; counted from the end for activations.
    """

    scale: Tensor
    zero: Tensor
    low: Tensor
    high: Tensor
    groups: Tensor | None = None
    split: Tensor | None = None
    axis: int = -3

    @classmethod
    def activation(cls, scale: float | Sequence[float], zero: int | Sequence[int], bits: int, axis: int = -3) -> Scale:
        """A given grid of unsigned codes, such as that of a `Site`: per tensor, or per channel for sequences."""
        low, high = primitives.activation_range(bits)
        return cls(_float32(scale), _float32(zero), _float32(low), _float32(high), axis=axis)

    @property
    def bits(self) -> int:
        """Of one code; the largest where channels differ."""
        return int((self.high - self.low).max()).bit_length()

    def grid(self, ndim: int) -> Grid:
        """(scale, zero, low, high) in shapes that broadcast against a tensor of `ndim` dimensions."""
        scale, zero, low, high = (
            primitives.spread(each, self.groups, self.axis, ndim)
            for each in (self.scale, self.zero, self.low, self.high)
        )
        if self.split is not None:
            halves = primitives.spread(1 + self.split.to(torch.float32), None, self.axis, ndim)
            zero, low, high = zero * halves, low * halves, high * halves
        return scale, zero, low, high

    def quantize(self, x: Tensor) -> Tensor:
        """Codes of x, integer-valued float32; of a split channel the sum of its two codes."""
        self._check(x)
        scale, zero, low, high = (each.to(x.device) for each in self.grid(x.ndim))
        return primitives.quantize(x, scale, zero, low, high)

    def dequantize(self, codes: Tensor) -> Tensor:
        scale, zero, _, _ = (each.to(codes.device) for each in self.grid(codes.ndim))
        return primitives.dequantize(codes, scale, zero)

    def fake_quantize(self, x: Tensor) -> Tensor:
        """Real values of the codes of x, at least float32; the gradient passes where x is not clipped."""
        self._check(x)
        scale, zero, low, high = (each.to(x.device) for each in self.grid(x.ndim))
        return fake_quantize(primitives.wide(x), scale, low - zero, high - zero)

    def with_scale(self, scale: Tensor) -> Scale:
        """The same codes on another step."""
        return replace(self, scale=scale)

    def _check(self, x: Tensor) -> None:
        channels = next(
            (len(each) for each in (self.groups, self.split, self.scale) if each is not None and each.ndim), 0
        )
        if channels and not (-x.ndim <= self.axis < x.ndim and x.shape[self.axis] == channels):
            raise UsageError(
                f"a scale for {channels} channels on axis {self.axis} does not fit a tensor of shape {tuple(x.shape)}"
            )


def _float32(values: float | Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)
