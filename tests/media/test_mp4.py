"""H.264 keeps times and tags; odd sizes are refused."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from quaver.errors import UsageError
from quaver.media.frame import Frame
from quaver.media.reader import open_video
from quaver.media.writer import create_video

from .samples import noise, video_format, write


@pytest.mark.parametrize("size", [(17, 16), (16, 17), (33, 33)])
def test_odd_sizes_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=rf"cannot hold {size[0]}x{size[1]}, only even sizes; write .mkv or .y4m"):
        create_video(tmp_path / "clip.mp4", video_format(*size))


def test_times_and_tags_are_kept(tmp_path: Path) -> None:
    changes = {"time_base": Fraction(1, 90000), "chroma_location": 2, "sample_aspect": Fraction(4, 3), "rotation": 90}
    chosen = video_format(primaries=9, transfer=16, matrix=9, full_range=True, **changes)
    times = [7, 3607, 7207, 10807, 18007]
    with open_video(write(tmp_path / "clip.mp4", noise(chosen, times))) as source:
        assert [frame.pts for frame in source] == times
    for name in ("primaries", "transfer", "matrix", "full_range", *changes):
        assert getattr(source.format, name) == getattr(chosen, name), name


def test_a_smooth_picture_is_nearly_kept(tmp_path: Path) -> None:
    chosen = video_format()
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    luma = (128 + 60 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint8)
    chroma = np.full((24, 32), 100, np.uint8)
    with open_video(write(tmp_path / "clip.mp4", [Frame(luma, chroma, chroma, t, chosen) for t in range(3)])) as source:
        for frame in source:
            assert np.abs(frame.y.astype(int) - luma).mean() < 2
            assert np.abs(frame.u.astype(int) - 100).max() <= 2
