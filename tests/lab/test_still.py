"""Where nothing is coded the trained codec copies: bit for bit, for a few bytes."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np

from quaver.codec.decisions import REFRESH
from quaver.codec.decoder import Decoder
from quaver.codec.encoder import Encoder
from quaver.lab.lower.model import lower
from quaver.lab.models.codec import Codec

from .test_integer_path import FORMAT, codec, moving

__all__ = ["codec"]  # the fixture: corrections are random, hence never zero by themselves


def test_a_still_clip_stays(codec: Codec) -> None:
    model = lower(codec, "random")
    first = moving(1)[0]
    stream = io.BytesIO()
    sizes = []
    with Encoder(stream, FORMAT, 20, gop=400, model=model) as encoder:
        for t in range(300):
            sizes.append(len(encoder.encode(replace(first, pts=t)).payload))
    frames = list(Decoder(io.BytesIO(stream.getvalue()), model))
    # The first frames may still repair the intra frame; from then on nothing is coded and nothing changes, also in the
    # frames that come back to its quality.
    settled = next(t for t in range(1, 300) if sizes[t + REFRESH :] == sizes[t:-REFRESH])
    # Rest itself costs something: random means of vectors are not those of rest.
    assert settled < 100 and max(sizes[settled:]) <= 30
    for frame in frames[settled:]:
        for name in "yuv":
            np.testing.assert_array_equal(getattr(frame, name), getattr(frames[settled], name))
