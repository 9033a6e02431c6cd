"""Quality over a long group of pictures."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np

from quaver.bitstream.record import FrameKind
from quaver.codec.decisions import INTRA_BONUS, LATE, LATE_BONUS, REFRESH, inter_quality
from quaver.codec.encoder import Encoder
from quaver.media.frame import Frame, VideoFormat
from quaver.runtime.model import QUALITIES


def test_late_frames_are_better_and_records_say_so() -> None:
    format = VideoFormat(32, 16, Fraction(25), Fraction(1, 25))
    luma, chroma = (np.random.default_rng(1).integers(0, 256, size, np.uint8) for size in ((16, 32), (8, 16)))
    frames = [Frame(np.roll(luma, t), chroma, chroma, t, format) for t in range(LATE + 10)]
    kinds, qualities = [], []
    with Encoder(io.BytesIO(), frames[0].format, 20, gop=LATE + 9, model="skeleton", scene_cuts=False) as encoder:
        for frame in frames:
            record = encoder.encode(frame)
            kinds.append(record.kind)
            qualities.append(record.quality)
    assert [t for t, kind in enumerate(kinds) if kind == FrameKind.INTRA] == [0, LATE + 9]
    late = [20 + (INTRA_BONUS if t % REFRESH == 0 else LATE_BONUS) for t in range(LATE, LATE + 9)]
    assert qualities == [20 + INTRA_BONUS, *[20] * (LATE - 1), *late, 20 + INTRA_BONUS]


def test_quality_has_an_end() -> None:
    assert inter_quality(QUALITIES - 1, LATE) == inter_quality(QUALITIES - 2, LATE + 1) == QUALITIES - 1
