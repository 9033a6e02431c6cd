"""300 frames after one intra frame decode to exactly what the encoder had, whoever computes them."""

from __future__ import annotations

import io

import numpy as np

from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec

from .test_integer_path import FORMAT, codec, moving

__all__ = ["codec"]  # the fixture: random corrections, so that any difference would spread


def test_the_decoder_has_the_encoders_pictures(codec: Codec) -> None:
    model = lower(codec, "random")
    stream, pictures, kinds = io.BytesIO(), [], []
    with Encoder(stream, FORMAT, 30, gop=400, model=model, scene_cuts=False, executor="onnx") as encoder:
        for frame in moving(301):
            kinds.append(encoder.encode(frame).kind.name)
            pictures.append(encoder.reconstruction)
    assert kinds == ["INTRA"] + ["INTER"] * 300
    for name, threads in (("onnx-f32", 1), ("onnx", 2)):
        decoded = list(Decoder(io.BytesIO(stream.getvalue()), model, name, threads))
        assert len(decoded) == 301
        for expected, got in zip(pictures, decoded, strict=True):
            for plane in "yuv":
                np.testing.assert_array_equal(getattr(got, plane), getattr(expected, plane), f"{name}, {got.pts}")
