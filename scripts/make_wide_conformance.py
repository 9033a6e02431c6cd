"""Make the conformance vectors of layers that read 16 bits: a frozen model, golden streams, SHA-256 of every tensor.

Run once; needs the lab. usage: make_wide_conformance.py OUT
"""

from __future__ import annotations

import dataclasses
import json
import sys
from fractions import Fraction
from pathlib import Path

from make_conformance import frozen_codec, pictures, precisions

from quaver.codec import conformance
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.lab.lower.model import lower
from quaver.lab.models.precision import shape_for
from quaver.lab.models.wiring import wiring
from quaver.media.frame import VideoFormat
from quaver.runtime.model import IntegerModel, save_model

STREAMS = (  # name, width, height, quality, gop, content
    ("wide-odd", 33, 17, 32, 4, "slide"),
    ("wide-fast", 64, 48, 40, 8, "fast"),
    ("wide-noise", 32, 32, 63, 2, "noise"),
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


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    model = wide_model()
    save_model(model, out / "wide_model.qvm")
    streams = {}
    for name, width, height, quality, gop, kind in STREAMS:
        format = VideoFormat(width, height, Fraction(25), Fraction(1, 25))
        path = out / f"{name}.qvr"
        with Encoder(path, format, quality, gop, model, False, "reference") as encoder:
            for frame in pictures(kind, format):
                encoder.encode(frame)
        streams[path.name] = [conformance.frame_digest(frame) for frame in Decoder(path, model, "reference")]
    tensors = {key: conformance.tensor_digests(graph, "reference") for key, graph in sorted(model.graphs.items())}
    vectors = {"format": 1, "model": "wide_model.qvm", "streams": streams, "tensors": tensors}
    (out / "wide_vectors.json").write_text(json.dumps(vectors, indent=1) + "\n")
    print(f"{model.hash.hex()[:16]}, {sum(path.stat().st_size for path in out.iterdir())} bytes")


if __name__ == "__main__":
    main()
