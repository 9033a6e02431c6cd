"""A set of conformance vectors: a model, golden streams of made pictures, SHA-256 of what they decode to."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from quaver.codec import conformance
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.media.frame import Frame, VideoFormat
from quaver.runtime.model import IntegerModel, save_model


@dataclass(frozen=True)
class Golden:
    """A stream to write; content: of `pictures`; motion: the estimator."""

    name: str
    width: int
    height: int
    quality: int
    gop: int
    content: str
    motion: str = "search"


def write_set(model: IntegerModel, streams: Sequence[Golden], prefix: str = "", tensors: bool = True) -> None:
    """`<prefix>model.qvm`, a file of each stream and `<prefix>vectors.json` in the folder that the command line names.
    tensors: digests of every tensor of every network, too."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    save_model(model, out / f"{prefix}model.qvm")
    frames = {f"{stream.name}.qvr": digests(model, stream, out / f"{stream.name}.qvr") for stream in streams}
    graphs = sorted(model.graphs.items()) if tensors else ()
    inner = {key: conformance.tensor_digests(graph, "reference") for key, graph in graphs}
    vectors = {"format": 1, "model": f"{prefix}model.qvm", "streams": frames, "tensors": inner}
    (out / f"{prefix}vectors.json").write_text(json.dumps(vectors, indent=1) + "\n")
    print(f"{model.hash.hex()[:16]}, {sum(path.stat().st_size for path in out.iterdir())} bytes")


def digests(model: IntegerModel, stream: Golden, path: Path) -> list[str]:
    """Of the decoded frames of a stream that is written to `path`."""
    format = VideoFormat(stream.width, stream.height, Fraction(25), Fraction(1, 25))
    with Encoder(path, format, stream.quality, stream.gop, model, False, "reference", motion=stream.motion) as encoder:
        for frame in pictures(stream.content, format):
            encoder.encode(frame)
    return [conformance.frame_digest(frame) for frame in Decoder(path, model, "reference")]


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
