"""Make the conformance vectors of layers that read 16 bits: a frozen model, golden streams, SHA-256 of every tensor.

Run once; needs the lab. usage: make_wide_conformance.py OUT
"""

from __future__ import annotations

import dataclasses

from golden_set import Golden, write_set
from make_conformance import frozen_codec, precisions

from quaver.lab.lower.model import lower
from quaver.lab.models.precision import shape_for
from quaver.lab.models.wiring import wiring
from quaver.runtime.model import IntegerModel

STREAMS = (
    Golden("wide-odd", 33, 17, 32, 4, "slide"),
    Golden("wide-fast", 64, 48, 40, 8, "fast"),
    Golden("wide-noise", 32, 32, 63, 2, "noise"),
)
BITS = 16, 12, 9  # of one wide layer after the other, again and again


def wide_model() -> IntegerModel:
    """As the first model, but what 1x1 layers alone read has more than 8 bits, over the same range of values."""
    codec = frozen_codec()
    plan, wires, bits = precisions(codec), wiring(codec), {}
    for name, wire in wires.items():
        if wire.conv.kernel == wire.conv.groups == 1 and not wire.source.shared:
            bits[name] = BITS[len(bits) % len(BITS)]
            wire.source.scale.mul_(2.0 ** (8 - bits[name]))
    layers = {
        name: dataclasses.replace(layer, activation_bits=bits.get(name, layer.activation_bits))
        for name, layer in plan.layers.items()
    }
    shape_for(codec, dataclasses.replace(plan, layers=layers))
    return lower(codec, "conformance-wide")


if __name__ == "__main__":
    write_set(wide_model(), STREAMS, "wide_")
