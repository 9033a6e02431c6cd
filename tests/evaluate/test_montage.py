"""Pictures side by side."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from quaver.evaluate import montage
from quaver.evaluate.lettering import caption, letters
from quaver.media.frame import Frame, VideoFormat


def grey(width: int, height: int) -> Frame:
    format = VideoFormat(width, height, Fraction(25), Fraction(1, 25))
    planes = (np.full(shape, 128, np.uint8) for shape in ((height, width), format.chroma_shape, format.chroma_shape))
    return Frame(*planes, 0, format)


@pytest.mark.parametrize("size", [(64, 48), (33, 17), (1930, 400)])
def test_the_worst_part_holds_the_damage(size: tuple[int, int]) -> None:
    original = grey(*size)
    damaged = original.y.copy()
    damaged[-5:-2, 3:6] = 0
    part = montage.worst_part(original, [original, replace(original, y=damaged)])
    assert part.top <= size[1] - 5 and size[1] - 2 <= part.top + part.height <= size[1]
    assert part.left <= 3 and part.left + part.width >= 6


@pytest.mark.parametrize(("size", "shown"), [((64, 48), (48, 64)), ((33, 17), (17, 33)), ((1930, 400), (133, 643))])
def test_columns_are_as_wide_as_the_picture_is_shown(size: tuple[int, int], shown: tuple[int, int]) -> None:
    frame = grey(*size)
    assert montage.whole(frame).shape == (*shown, 3)
    picture = montage.side_by_side([("one", frame), ("two", frame)], montage.worst_part(frame, [frame]))
    assert picture.shape[1] == 2 * shown[1] + 12 and picture.dtype == np.uint8


def test_enlarged_samples_are_repeated() -> None:
    frame = grey(64, 48)
    frame.y[10, 20] = 255
    detail = montage.enlarged(frame, montage.Part(10, 20, 8, 8))
    assert detail.shape == (24, 24, 3) and (detail[:3, :3] == detail[0, 0]).all()
    assert (detail[3:] == detail[3, 0]).all() and not np.array_equal(detail[0, 0], detail[3, 0])


def test_letters() -> None:
    assert letters("T", 1)[:7].astype(int).tolist()[0] == [1, 1, 1, 1, 1, 0]
    assert letters("ab").shape == (16, 24) and not letters("\x07 ü").any()
    assert caption("far too long for this", 20).shape == (32, 20, 3)
