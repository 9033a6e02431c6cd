"""Make the conformance vectors of profile 2: the frozen model of profile 1 with a patch table, and golden streams.

Run once; needs the lab. usage: make_patch_conformance.py OUT
"""

from __future__ import annotations

import dataclasses
import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
from make_conformance import pictures

from quaver.codec import conformance
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.media.frame import VideoFormat
from quaver.runtime.model import read_model, save_model
from quaver.runtime.patches import PatchTable

# Every bit-width for every network, in classes on both sides of thresholds that the pictures cross.
THRESHOLDS = {"levels": (1, 430), "motion": (1, 1000), "gradient": (100000,), "change": (95000,)}
STREAMS = (  # name, width, height, quality, gop, content
    ("patches-odd", 87, 51, 20, 6, "slide"),
    ("patches-fast", 64, 80, 24, 6, "fast"),
    ("patches-still", 48, 96, 20, 6, "still"),
)


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(13)
    bits = np.stack([rng.permutation(np.arange(36) % 9) for _ in range(3)], 1).astype(np.uint8)
    frozen = read_model(conformance.folder() / "model.qvm")
    model = dataclasses.replace(frozen, name="conformance-patches", patches=PatchTable(THRESHOLDS, bits))
    save_model(model, out / "patch_model.qvm")
    streams = {}
    for name, width, height, quality, gop, kind in STREAMS:
        format = VideoFormat(width, height, Fraction(25), Fraction(1, 25))
        path = out / f"{name}.qvr"
        with Encoder(path, format, quality, gop, model, False, "reference") as encoder:
            for frame in pictures(kind, format):
                encoder.encode(frame)
        streams[path.name] = [conformance.frame_digest(frame) for frame in Decoder(path, model, "reference")]
    vectors = {"format": 1, "model": "patch_model.qvm", "streams": streams, "tensors": {}}
    (out / "patch_vectors.json").write_text(json.dumps(vectors, indent=1) + "\n")
    print(f"{model.hash.hex()[:16]}, {sum(path.stat().st_size for path in out.iterdir())} bytes")


if __name__ == "__main__":
    main()
