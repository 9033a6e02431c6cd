"""Padding, cropping and checksums of pictures of any size."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from quaver.media.frame import Frame
from quaver.runtime.picture import Picture, crop, pad, padded_size, plain_format

SIZES = [(16, 16), (17, 23), (48, 33), (100, 64), (16, 31)]


def _frame(width: int, height: int) -> Frame:
    rng = np.random.default_rng(width * height)
    format = plain_format(width, height)
    y = rng.integers(0, 256, (height, width), dtype=np.uint8)
    u, v = rng.integers(0, 256, (2, *format.chroma_shape), dtype=np.uint8)
    return Frame(y, u, v, 7, format)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_padding_repeats_the_last_row_and_column(width: int, height: int) -> None:
    frame = _frame(width, height)
    rows, columns = padded_size(frame.format)
    assert rows % 16 == columns % 16 == 0
    assert 0 <= rows - height < 16 and 0 <= columns - width < 16
    picture = pad(frame)
    for plane, source, part in ((picture.y, frame.y, 1), (picture.u, frame.u, 2), (picture.v, frame.v, 2)):
        assert plane.shape == (rows // part, columns // part)
        for row in range(plane.shape[0]):
            for column in range(plane.shape[1]):
                nearest = source[min(row, source.shape[0] - 1), min(column, source.shape[1] - 1)]
                assert plane[row, column] == nearest


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_cropping_undoes_padding(width: int, height: int) -> None:
    frame = _frame(width, height)
    shown = crop(pad(frame), frame.format, frame.pts)
    assert shown.pts == 7 and shown.format == frame.format
    for got, wanted in zip((shown.y, shown.u, shown.v), (frame.y, frame.u, frame.v), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_blocks_count_8x8_luma_samples() -> None:
    assert pad(_frame(17, 33)).blocks == (6, 4)


def test_checksum_is_the_crc_of_all_planes_and_of_their_values_only() -> None:
    picture = pad(_frame(48, 33))
    whole = picture.y.tobytes() + picture.u.tobytes() + picture.v.tobytes()
    assert picture.checksum() == zlib.crc32(whole)
    strided = Picture(*(np.asfortranarray(plane) for plane in (picture.y, picture.u, picture.v)))
    assert strided.checksum() == picture.checksum()


@pytest.mark.parametrize("plane", range(3))
def test_checksum_notices_one_sample_in_the_padding(plane: int) -> None:
    picture = pad(_frame(17, 23))
    planes = [part.copy() for part in (picture.y, picture.u, picture.v)]
    planes[plane][-1, -1] ^= 1
    assert Picture(*planes).checksum() != picture.checksum()
