"""The models that ship, and the bits that they decode to: neither changes by accident.

`shipped.json` holds for each model its identity and SHA-256 of six frames of a synthetic clip after encoding and
decoding. A new model is a new line; `python tests/codec/test_shipped_models.py` prints it.
"""

from __future__ import annotations

import hashlib
import io
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from quaver.codec.conformance import frame_digest
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.media.frame import Frame, VideoFormat
from quaver.runtime.model import load_model, model_folders

FORMAT = VideoFormat(70, 50, Fraction(25), Fraction(1, 25))
EXPECTED = Path(__file__).with_name("shipped.json")
SHIPPED = sorted(path.stem for path in model_folders()[0].glob("*.qvm"))


def clip() -> list[Frame]:
    """A textured slope that slides; integers only, the same everywhere."""
    rows, columns = np.mgrid[:80, :120]
    wide = ((rows * 3 + columns * 2) % 256 // 2 + (rows * columns // 7) % 64 + 20).astype(np.uint8)
    frames = []
    for t in range(6):
        y = np.ascontiguousarray(wide[t : t + 50, 2 * t : 2 * t + 70])
        u = np.ascontiguousarray(y[::2, ::2] // 2 + 40)
        frames.append(Frame(y, u, 255 - u, t, FORMAT))
    return frames


def digest_of(name: str, executor: str) -> str:
    model, stream = load_model(name), io.BytesIO()
    with Encoder(stream, FORMAT, 30, gop=4, model=model, executor=executor) as encoder:
        for frame in clip():
            encoder.encode(frame)
    digest = hashlib.sha256()
    for frame in Decoder(io.BytesIO(stream.getvalue()), model, executor):
        digest.update(frame_digest(frame).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("executor", ["onnx", "onnx-f32", "reference"])
def test_shipped_models_stay(name: str, executor: str) -> None:
    expected = json.loads(EXPECTED.read_text())[name]
    assert load_model(name).hash.hex() == expected["hash"]
    assert digest_of(name, executor) == expected["frames"]


if __name__ == "__main__":
    found = {name: {"hash": load_model(name).hash.hex(), "frames": digest_of(name, "reference")} for name in SHIPPED}
    print(json.dumps(found, indent=1))
