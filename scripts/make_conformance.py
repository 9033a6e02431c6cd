"""Make the conformance vectors in src/quaver/conformance: a frozen model, golden streams, SHA-256 of everything.

Run once per format version; needs the lab. Later encoders may choose otherwise and write other streams; those that are
frozen stay golden. usage: make_conformance.py OUT
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from golden_set import Golden, write_set

from quaver.bitstream.tables import TableSet, frequencies_from_probabilities, laplace_tables
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.precision import shape_for
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.runtime.model import IntegerModel, load_model

STREAMS = (
    Golden("odd", 33, 17, 32, 4, "slide", "search"),
    Golden("tall", 16, 39, 20, 8, "slide", "seeded"),
    Golden("fast", 64, 48, 40, 8, "fast", "search"),
    Golden("wild", 64, 48, 30, 4, "fast", "network"),  # untrained: vectors of all sizes
    Golden("still", 48, 32, 24, 8, "still", "search"),
    Golden("noise-finest", 32, 32, 63, 2, "noise", "search"),
    Golden("saturated", 32, 48, 63, 4, "saturated", "search"),
    Golden("noise-coarsest", 48, 32, 0, 3, "noise", "search"),
)
HEADS = "index", "mean", "correction", "vectors"
# One layer after the other, again and again: bits of weights, of activations, and of output channels by parity.
PRECISIONS = (LayerPlan(7, 8), LayerPlan(4, 6), LayerPlan(7, 8), LayerPlan(5, 8, (5, 2)), LayerPlan(7, 4))


def frozen_model() -> IntegerModel:
    """Layers of several precisions, so that codes have ranges of their own."""
    codec = frozen_codec()
    shape_for(codec, precisions(codec))
    return lower(codec, "conformance-1")


def frozen_codec() -> Codec:
    """The skeleton's steps over few, short tables (so that escapes occur), and random corrections."""
    skeleton = load_model("skeleton")
    tables = laplace_tables(list(np.geomspace(0.1, 30, 16)), max_support=24)
    uniform = frequencies_from_probabilities(np.append(np.ones(2 * 8 + 1), 0.0))
    tables = TableSet((*tables.frequencies, uniform))
    count = len(skeleton.tables.frequencies) - 2

    def shortened(levels: np.ndarray) -> np.ndarray:
        return np.where(levels > 0, 1 + levels.astype(np.int32) * 15 // count, 0).clip(0, 16).astype(np.uint8)

    tiny = dataclasses.replace(
        skeleton,
        name="conformance-1",
        tables=tables,
        intra_levels=shortened(skeleton.intra_levels),
        inter_levels=shortened(skeleton.inter_levels),
    )
    torch.manual_seed(1)
    codec = Codec(Preset(8, 1, 0, 1, 0, 4, motion=8, motion_blocks=1, estimator=0), tiny)
    for name, parameter in codec.named_parameters():
        if parameter.ndim == 4 and any(part in name for part in HEADS):
            torch.nn.init.normal_(parameter, std=0.3 if name.startswith("motion") else 0.15)
        elif name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return codec


def precisions(codec: Codec) -> QuantPlan:
    layers = {}
    for number, (name, wire) in enumerate(wiring(codec).items()):
        plan = PRECISIONS[number % len(PRECISIONS)]
        if plan.channel_bits is not None:
            outputs = wire.conv.weight.shape[0]
            plan = dataclasses.replace(plan, channel_bits=(plan.channel_bits * outputs)[:outputs])
        layers[name] = plan
    return QuantPlan(layers, "conformance")


if __name__ == "__main__":
    write_set(frozen_model(), STREAMS)
