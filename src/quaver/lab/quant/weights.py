"""Fixed quantization of a weight, computed again only when the weight has changed."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from quaver.errors import UsageError
from quaver.lab.quant.plan import LayerPlan
from quaver.lab.quant.scale import Scale
from quaver.lab.quant.selection import choose_weight

WeightMethod = Literal["minmax", "mse"]


class WeightOnGrid:
    """The weight of one layer at one width (`weight_bits` or `channel_bits` of its plan).

    fixed: a scale to use instead of a chosen one, where its bits are the plan's.
    """

    def __init__(self, name: str, layer: LayerPlan, axis: int, method: WeightMethod, fixed: Scale | None) -> None:
        assert layer.weight_bits is not None
        self._name, self._axis, self._method = name, axis, method
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
            try:
                chosen = self._fixed or choose_weight(weight, self._bits, self._method, self._axis)
            except UsageError as error:
                raise UsageError(f"{self._name}: {error}") from None
            self._seen, self._scale, self._value = seen, chosen, None
        if torch.is_grad_enabled() and weight.requires_grad:
            return self.current.fake_quantize(weight)
        if self._value is None:
            self._value = self.current.fake_quantize(weight.detach())
        return self._value
