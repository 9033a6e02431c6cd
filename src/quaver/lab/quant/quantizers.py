"""Quantizers as modules: a grid that is fixed, or whose step, offset or clip is learned.

A quantizer starts from a `Scale`, maps real values to real values on its grid, and says which grid that is now
(`current`), for lowering and for files. Where channels have groups, a group's parameters are learned together.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from quaver.errors import UsageError
from quaver.lab.quant import primitives
from quaver.lab.quant.gradients import lsq, lsq_plus, pact, power_of_two_ste
from quaver.lab.quant.scale import Scale
from quaver.lab.twin.rounding import clamp_ste

Learn = Literal["fixed", "lsq", "lsq+", "pact"]


class Quantizer(Protocol):
    """What an attachment puts on a weight or on an input."""

    @property
    def current(self) -> Scale: ...

    def __call__(self, x: Tensor, /) -> Tensor: ...


class _Grid(nn.Module):
    """The parts of a Scale as buffers, so that they follow the module to a device and into its state_dict."""

    scale: Tensor
    zero: Tensor
    low: Tensor
    high: Tensor
    groups: Tensor | None
    split: Tensor | None

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.axis = scale.axis
        for name in ("scale", "zero", "low", "high", "groups", "split"):
            value = getattr(scale, name)
            self.register_buffer(name, None if value is None else value.clone())

    def _grid(self, step: Tensor | None = None) -> Scale:
        scale = self.scale if step is None else step
        return Scale(scale, self.zero, self.low, self.high, self.groups, self.split, self.axis)

    def _spread(self, values: Tensor, x: Tensor) -> Tensor:
        return primitives.spread(values, self.groups, self.axis, x.ndim)


class WeightQuantizer(_Grid):
    """Grid of a weight. learn: "fixed", or "lsq": the steps; zero-points stay."""

    def __init__(self, scale: Scale, learn: Learn = "fixed", power_of_two: bool = False) -> None:
        super().__init__(scale)
        if learn not in ("fixed", "lsq"):
            raise UsageError(f"a weight's grid cannot be learned by {learn!r}: fixed, lsq are legal")
        self.learn, self.power_of_two = learn, power_of_two
        self.step = nn.Parameter(scale.scale.clone()) if learn == "lsq" else None

    @property
    def current(self) -> Scale:
        return self._grid() if self.step is None else self._grid(_legal(self.step, self.power_of_two).detach())

    def forward(self, weight: Tensor) -> Tensor:
        if self.step is None:
            return self._grid().fake_quantize(weight)
        _, zero, low, high = self._grid().grid(weight.ndim)
        step = self._spread(_legal(self.step, self.power_of_two), weight)
        half = float((self.high - self.low).max()) / 2  # the largest code where codes are symmetric
        return lsq(weight, step, low - zero, high - zero, _gain(weight.numel(), self.step, half))


class ActivationQuantizer(_Grid):
    """Grid of a call site's input.

    learn: "fixed"; "lsq", the steps; "lsq+", steps and offsets; "pact", the clips (nothing may be negative: zero 0).
    power_of_two: learned steps are rounded to powers of two.
    """

    def __init__(self, scale: Scale, learn: Learn = "fixed", power_of_two: bool = False) -> None:
        super().__init__(scale)
        if learn == "pact" and bool(scale.zero.any()):
            raise UsageError("PACT clips values that are not negative; this grid has a zero-point: use lsq+")
        if learn == "pact" and power_of_two:
            raise UsageError("PACT learns the clip, not the step: powers of two need lsq or lsq+")
        if learn != "fixed" and scale.split is not None and learn != "lsq":
            raise UsageError(f"split channels can be learned by lsq, not by {learn!r}")
        self.learn, self.power_of_two = learn, power_of_two
        self.step = nn.Parameter(scale.scale.clone()) if learn in ("lsq", "lsq+") else None
        zero = scale.zero.expand_as(scale.scale)
        self.offset = nn.Parameter(-zero * scale.scale) if learn == "lsq+" else None
        self.clip = nn.Parameter(scale.scale * scale.high) if learn == "pact" else None

    @property
    def current(self) -> Scale:
        if self.clip is not None:
            return self._grid((_legal(self.clip, False) / self.high).detach())
        if self.step is None:
            return self._grid()
        grid = self._grid(_legal(self.step, self.power_of_two).detach())
        if self.offset is None:
            return grid
        zero = torch.clamp(torch.round(-self.offset.detach() / grid.scale), self.low, self.high)
        return Scale(grid.scale, zero, self.low, self.high, self.groups, self.split, self.axis)

    def forward(self, x: Tensor) -> Tensor:
        if self.learn == "fixed":
            return self._grid().fake_quantize(x)
        x = primitives.wide(x)
        _, zero, low, high = self._grid().grid(x.ndim)
        if self.clip is not None:
            return pact(x, self._spread(_legal(self.clip, False), x), high)
        assert self.step is not None
        step = self._spread(_legal(self.step, self.power_of_two), x)
        gain = _gain(x[:1].numel(), self.step, float(self.high.max()))
        if self.offset is not None:
            return lsq_plus(x, step, self._spread(self.offset, x), low, high, gain)
        return lsq(x, step, low - zero, high - zero, gain)


def _legal(scale: Tensor, power_of_two: bool) -> Tensor:
    """A learned step stays positive; its gradient still pulls it back up."""
    scale = clamp_ste(scale, primitives.SMALLEST_SCALE, float("inf"))
    return power_of_two_ste(scale) if power_of_two else scale


def _gain(elements: int, step: Tensor, high: float) -> float:
    """1 / sqrt(N * Q): steps then change at the rate weights do. Source: LSQ, section 2.2."""
    return float((max(1, elements // step.numel()) * max(1.0, high)) ** -0.5)
