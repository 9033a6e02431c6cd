"""Make the conformance vectors in src/quaver/conformance: a frozen model, golden streams, SHA-256 of everything.

Run once per format version; needs the lab. usage: make_conformance.py OUT
"""

from __future__ import annotations

import dataclasses
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from quaver.bitstream.tables import TableSet, frequencies_from_probabilities, laplace_tables
from quaver.codec.conformance import frame_digest, tensor_digests
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec, Preset
from quaver.lab.models.precision import shape_for
from quaver.lab.models.wiring import wiring
from quaver.lab.quant.plan import LayerPlan, QuantPlan
from quaver.media.frame import Frame, VideoFormat
from quaver.runtime.model import IntegerModel, load_model, save_model

STREAMS = (  # name, width, height, quality, gop, content, motion estimator
    ("odd", 33, 17, 32, 4, "slide", "search"),
    ("tall", 16, 39, 20, 8, "slide", "seeded"),
    ("fast", 64, 48, 40, 8, "fast", "search"),
    ("wild", 64, 48, 30, 4, "fast", "network"),  # untrained: vectors of all sizes
    ("still", 48, 32, 24, 8, "still", "search"),
    ("noise-finest", 32, 32, 63, 2, "noise", "search"),
    ("saturated", 32, 48, 63, 4, "saturated", "search"),
    ("noise-coarsest", 48, 32, 0, 3, "noise", "search"),
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


def pictures(kind: str, format: VideoFormat, count: int = 6) -> list[Frame]:
    rng = np.random.default_rng(7)
    height, width = format.height, format.width
    wide = rng.integers(0, 256, (height + 200, width + 200)).astype(np.float64)
    for _ in range(4):
        wide = (wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1)) / 3
    wide = np.clip((wide - 128) * 6 + 128, 0, 255).astype(np.uint8)
    frames = []
    for t in range(count):
        shift = {"slide": (t, 2 * t), "fast": (9 * t, 23 * t)}.get(kind, (0, 0))
        y = wide[shift[0] : shift[0] + height, shift[1] : shift[1] + width].copy()
        if kind == "noise":
            y = rng.integers(0, 256, y.shape, np.uint8)
        if kind == "saturated":
            y = np.where((np.add.outer(np.arange(height), np.arange(width)) + t) % 3 == 0, 255, 0).astype(np.uint8)
        u = np.resize(255 - y[::2, ::2], format.chroma_shape)
        frames.append(Frame(y, u, np.roll(u, 1, 1), t, format))
    return frames


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    model = frozen_model()
    save_model(model, out / "model.qvm")
    streams = {}
    for name, width, height, quality, gop, kind, motion in STREAMS:
        format = VideoFormat(width, height, Fraction(25), Fraction(1, 25))
        path = out / f"{name}.qvr"
        with Encoder(path, format, quality, gop, model, False, "reference", motion=motion) as encoder:
            for frame in pictures(kind, format):
                encoder.encode(frame)
        streams[path.name] = [frame_digest(frame) for frame in Decoder(path, model, "reference")]
    tensors = {key: tensor_digests(graph, "reference") for key, graph in sorted(model.graphs.items())}
    vectors = {"format": 1, "model": "model.qvm", "streams": streams, "tensors": tensors}
    (out / "vectors.json").write_text(json.dumps(vectors, indent=1) + "\n")
    print(f"{model.hash.hex()[:16]}, {sum(path.stat().st_size for path in out.iterdir())} bytes")


if __name__ == "__main__":
    main()
