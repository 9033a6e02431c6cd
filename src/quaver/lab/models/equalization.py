"""Cross-layer equalization of Quaver's own codec, as scales.

Equalization divides the outputs of a layer and multiplies the inputs of the next. Here weights absorb the scales of
their inputs before they are rounded and each output has a multiplier of its own, so the integers of an equalized model
with one scale for the tensor are those of the model as it is with scales in the factors' proportion.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor

from quaver.lab.models.codec import Codec
from quaver.lab.models.wiring import Wire
from quaver.lab.quant.ptq import equalize


def equalization(codec: Codec, wires: Mapping[str, Wire]) -> dict[str, Tensor]:
    """Of every layer whose input one other layer makes for it alone: the proportion of its channels' scales, (I,).
    Source: Nagel et al., ICCV 2019, section 4.1."""
    pairs = [
        (first, second)
        for first, maker in wires.items()
        for second, reader in wires.items()
        if maker.target is reader.source and not reader.source.fixed
    ]
    return {second: factors for (_, second), factors in equalize(copy.deepcopy(codec), pairs).items()}
