"""Samples survive the way through FFmpeg's frames, and conversion leaves no seams at odd edges."""

from pathlib import Path

import numpy as np
import pytest

from quaver.media.planes import picture_of, planes_of
from quaver.media.reader import open_video

from .samples import SIZES, flat, noise, same_samples, video_format


@pytest.mark.parametrize("size", SIZES)
def test_there_and_back(size: tuple[int, int]) -> None:
    chosen = video_format(*size, primaries=9, transfer=16, matrix=9, full_range=True)
    (frame,) = noise(chosen, [0])
    picture = picture_of((frame.y, frame.u, frame.v), chosen)
    assert all(np.array_equal(a, b) for a, b in zip(planes_of(picture), (frame.y, frame.u, frame.v), strict=True))
    assert (picture.color_primaries, picture.color_trc, picture.colorspace, picture.color_range) == (9, 16, 9, 2)


@pytest.mark.parametrize("size", [(17, 23), (64, 48)])
@pytest.mark.parametrize(
    ("pixels", "bits", "values"),
    [
        ("yuv444p", 8, (100, 60, 200)),
        ("yuv422p", 8, (100, 60, 200)),
        ("yuv411p", 8, (100, 60, 200)),
        ("yuva420p", 8, (100, 60, 200, 9)),
        ("yuv420p10le", 10, (400, 240, 800)),
    ],
)
def test_other_pixel_formats_are_converted(
    tmp_path: Path, size: tuple[int, int], pixels: str, bits: int, values: tuple[int, ...]
) -> None:
    with open_video(flat(tmp_path / "flat.mkv", "ffv1", pixels, size, values, bits)) as source:
        frames = list(source)
    assert (source.converted, source.pixel_format, source.format.full_range) == (True, pixels, False)
    assert len(frames) == 3
    assert [set(np.unique(p)) for p in (frames[0].y, frames[0].u, frames[0].v)] == [{100}, {60}, {200}]
    assert frames[0].u.shape == source.format.chroma_shape


def test_grey_becomes_neutral_and_looks_the_same(tmp_path: Path) -> None:
    with open_video(flat(tmp_path / "grey.mkv", "ffv1", "gray", (17, 23), [100])) as source:
        frame = next(iter(source))
    assert np.all(frame.to_rgb() == 100)


def test_rgb_is_converted_and_tagged(tmp_path: Path) -> None:
    with open_video(flat(tmp_path / "rgb.mkv", "ffv1", "gbrp10le", (17, 23), (240, 360, 120), 10)) as source:
        frame = next(iter(source))
    assert (source.format.matrix, source.format.full_range) == (6, False)
    assert np.abs(frame.to_rgb().astype(int) - [30, 60, 90]).max() <= 3


def test_full_range_420_is_taken_as_it_is(tmp_path: Path) -> None:
    with open_video(flat(tmp_path / "jpeg.avi", "mjpeg", "yuvj420p", (33, 17), (4, 60, 250))) as source:
        first, *others = source
    assert (source.converted, source.format.full_range, source.format.chroma_location) == (False, True, 1)
    assert [set(np.unique(p)) for p in (first.y, first.u, first.v)] == [{4}, {60}, {250}]
    assert all(same_samples(first, other) for other in others)
