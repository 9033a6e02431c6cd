"""A Matroska file keeps pictures, times and tags exactly, and others can read it."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from quaver.media.frame import VideoFormat
from quaver.media.reader import open_video

from .samples import noise, same_samples, video_format, write

_TAGS = {"primaries": 9, "transfer": 16, "matrix": 9, "full_range": True}


@pytest.mark.parametrize(
    "chosen",
    [
        video_format(17, 23, **_TAGS, chroma_location=2, sample_aspect=Fraction(4, 3), rotation=90),
        video_format(chroma_location=0, sample_aspect=Fraction(12, 11), rotation=180),
        video_format(matrix=1, rotation=270),
    ],
)
def test_every_tag_is_kept(tmp_path: Path, chosen: VideoFormat) -> None:
    with open_video(write(tmp_path / "clip.mkv", noise(chosen))) as source:
        assert source.format == chosen


@pytest.mark.parametrize(
    ("time_base", "times"),
    [
        (Fraction(1001, 30000), [0, 1, 2, 5, 1_000_000]),
        (Fraction(1, 90000), [7, 3010, 6011, 9000, 2**33]),
        (Fraction(1, 1000), [0, 33, 67, 100]),
        (Fraction(1, 12800), [512, 1024, 1536, 1999]),
        (Fraction(1, 10**7), [1, 2, 3, 400_000]),
        (Fraction(2), [0, 1, 40_000]),
    ],
)
def test_pts_are_exact_in_their_own_unit(tmp_path: Path, time_base: Fraction, times: list[int]) -> None:
    chosen = video_format(time_base=time_base)
    with open_video(write(tmp_path / "clip.mkv", noise(chosen, times))) as source:
        assert [frame.pts for frame in source] == times
        assert source.format.time_base == time_base


def test_negative_times_begin_at_zero(tmp_path: Path) -> None:
    with open_video(write(tmp_path / "clip.mkv", noise(video_format(), [-5, -3, 4]))) as source:
        assert [frame.pts for frame in source] == [0, 2, 9]


def test_ffmpeg_reads_nanoseconds_duration_and_seeks(tmp_path: Path) -> None:
    frames = noise(video_format(frame_rate=Fraction(24), time_base=Fraction(1, 24)), range(48))
    path = write(tmp_path / "clip.mkv", frames)
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.average_rate) == ("ffv1", 24)
        assert container.duration == 2_000_000
        assert stream.time_base == Fraction(1, 10**9)
        assert [packet.pts for packet in container.demux(stream)][:3] == [0, 41666667, 83333333]
        container.seek(1_000_000)
        assert next(container.decode(stream)).pts <= 10**9


def test_the_segment_ends_where_the_file_does(tmp_path: Path) -> None:
    data = write(tmp_path / "clip.mkv", noise(video_format())).read_bytes()
    at = data.index(bytes.fromhex("18538067")) + 4
    assert int.from_bytes(data[at : at + 8], "big") - (1 << 56) == len(data) - at - 8


def test_same_frames_same_bytes(tmp_path: Path) -> None:
    frames = noise(video_format(33, 17))
    first, second = (write(tmp_path / name, frames) for name in ("a.mkv", "b.mkv"))
    assert first.read_bytes() == second.read_bytes()
    assert same_samples(frames[0], next(iter(open_video(first))))
