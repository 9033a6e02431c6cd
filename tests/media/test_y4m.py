"""The bytes of a y4m file."""

from fractions import Fraction
from pathlib import Path

import pytest

from quaver.media.reader import open_video

from .samples import noise, video_format, write


def test_the_file_is_the_header_and_the_samples(tmp_path: Path) -> None:
    chosen = video_format(17, 23, frame_rate=Fraction(30000, 1001), time_base=Fraction(1001, 30000))
    frames = noise(chosen, [0, 1])
    data = write(tmp_path / "clip.y4m", frames).read_bytes()
    header = b"YUV4MPEG2 W17 H23 F30000:1001 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n"
    assert data == header + b"".join(
        b"FRAME\n" + frame.y.tobytes() + frame.u.tobytes() + frame.v.tobytes() for frame in frames
    )


@pytest.mark.parametrize("location", [0, 1, 2])
@pytest.mark.parametrize("full_range", [False, True])
def test_siting_range_and_aspect_are_kept(tmp_path: Path, location: int, full_range: bool) -> None:
    chosen = video_format(chroma_location=location, full_range=full_range, sample_aspect=Fraction(12, 11))
    with open_video(write(tmp_path / "clip.y4m", noise(chosen))) as source:
        assert source.format == chosen


def test_times_are_those_of_the_nominal_rate(tmp_path: Path) -> None:
    chosen = video_format(time_base=Fraction(1, 1000))
    with open_video(write(tmp_path / "clip.y4m", noise(chosen, [7, 50, 90]))) as source:
        assert [frame.pts * source.format.time_base for frame in source] == [0, Fraction(1, 25), Fraction(2, 25)]
