"""Fixed quantization of a weight, computed again only when the weight has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.quant.plan import LayerPlan
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.selection import choose_weight

WeightMethod = Literal["minmax", "mse"]
Granularity = Literal["channel", "tensor"] | int | Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class WeightGrids:
    """How grids of weights are chosen.

    method: to cover all weights, or of the least squared error. per: what has one scale: an output "channel", the whole
    "tensor", so many neighbouring output channels, or by layer name the group (0, 1, ...) of each output channel, with
    a scale per channel where a layer is not named. affine: fitted zero-points; else codes are symmetric around 0.
    power_of_two: of scales.
    """

    method: WeightMethod = "minmax"
    per: Granularity = "channel"
    affine: bool = False
    power_of_two: bool = False

    def __post_init__(self) -> None:
        if self.method not in ("mse", "minmax"):
            raise UsageError(f"scales of weights by {self.method!r}: mse, minmax are legal")
        per = self.per
        legal = per in ("channel", "tensor") if isinstance(per, str) else isinstance(per, Mapping) or per > 0
        if not legal:
            raise UsageError(f"a scale of weights per {per!r}: channel, tensor, a number of channels, groups are legal")
        for name, groups in per.items() if isinstance(per, Mapping) else ():
            if set(groups) != set(range(max(groups, default=-1) + 1)):
                raise UsageError(f"{name}: groups of output channels must be numbered 0, 1, ... without gaps")

    @property
    def named(self) -> tuple[str, ...]:
        """Layers whose groups are given."""
        return tuple(self.per) if isinstance(self.per, Mapping) else ()

    def choose(self, name: str, weight: Tensor, bits: int | Sequence[int], axis: int) -> Scale:
        """The grid of the weight of layer `name` with output channels on `axis`. UsageError where a group's channels
        have different bits, or groups are not of as many channels as the weight has."""
        groups = self._groups(name, weight.shape[axis])
        whole = self.per == "tensor" and isinstance(bits, int)  # its scale is then ()
        try:
            return choose_weight(
                weight, bits, self.method, None if whole else axis, self.power_of_two,
                None if whole else groups, self.affine,
            )  # fmt: skip
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None

    def _groups(self, name: str, channels: int) -> Sequence[int] | None:
        if isinstance(self.per, Mapping):
            return self.per.get(name)
        if self.per == "channel" or self.per == 1:
            return None
        size = channels if isinstance(self.per, str) else self.per
        return [channel // size for channel in range(channels)]


class WeightOnGrid:
    """The weight of one layer at one width (`weight_bits` or `channel_bits` of its plan).

    fixed: a scale to use instead of a chosen one, where its bits are the plan's.
    """

    def __init__(self, name: str, layer: LayerPlan, axis: int, grids: WeightGrids, fixed: Scale | None) -> None:
        assert layer.weight_bits is not None
        self._name, self._axis, self._grids = name, axis, grids
        self._bits = layer.channel_bits or layer.weight_bits
        self._fixed = fixed if fixed is not None and fixed.bits == layer.weight_bits else None
        self._seen: tuple[int, int, int] | None = None
        self._scale: Scale | None = None
        self._value: Tensor | None = None

    @property
    def current(self) -> Scale:
        if self._scale is None:
            raise UsageError(f"{self._name}: its weight has not been quantized yet")
        return self._scale

    def __call__(self, weight: Tensor) -> Tensor:
        """The weight on its grid. The same tensor again while the weight is the same, except where a gradient is
        asked for: then each call has its own graph."""
        seen = id(weight), weight.data_ptr(), weight._version
        if seen != self._seen:
            chosen = self._fixed or self._grids.choose(self._name, weight, self._bits, self._axis)
            self._seen, self._scale, self._value = seen, chosen, None
        if torch.is_grad_enabled() and weight.requires_grad:
            return self.current.fake_quantize(weight)
        if self._value is None:
            self._value = self.current.fake_quantize(weight.detach())
        return self._value
