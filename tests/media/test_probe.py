"""Times become strictly increasing, rates are the ones people mean."""

from fractions import Fraction
from pathlib import Path

import pytest

from quaver.media.probe import Clock
from quaver.media.reader import open_video

from .samples import h264, noise, video_format, write


@pytest.mark.parametrize(
    ("timestamps", "expected"),
    [
        ([0, 40, 80], [0, 40, 80]),
        ([-80, -40, 0], [-80, -40, 0]),
        ([None, None, 90], [0, 40, 90]),
        ([10, 10, 10, 50], [10, 11, 12, 50]),
        ([100, 60, 140], [100, 101, 140]),
        ([2**62, 40, -(2**62)], [0, 40, 80]),
    ],
)
def test_pts_increase_whatever_the_timestamps(timestamps: list[int | None], expected: list[int]) -> None:
    clock = Clock(Fraction(1), step=40)
    assert [clock.pts(t) for t in timestamps] == expected


def test_timestamps_are_scaled() -> None:
    clock = Clock(Fraction(1, 10**9) / Fraction(1001, 30000), step=1)
    assert [clock.pts(t) for t in (0, 33366667, 66733333, 3336666667)] == [0, 1, 2, 100]


@pytest.mark.parametrize(
    "rate", [Fraction(25), Fraction(24000, 1001), Fraction(60000, 1001), Fraction(120), Fraction(25, 2)]
)
def test_frame_rates_survive_rounded_durations(tmp_path: Path, rate: Fraction) -> None:
    chosen = video_format(frame_rate=rate, time_base=1 / rate)
    with open_video(write(tmp_path / "clip.mkv", noise(chosen))) as source:
        assert (source.format.frame_rate, source.frame_count) == (rate, 3)


def test_a_bare_stream_has_a_rate_and_times(tmp_path: Path) -> None:
    path = tmp_path / "bare.h264"
    path.write_bytes(h264(64, 48, 5))
    with open_video(path) as source:
        times = [frame.pts * frame.format.time_base for frame in source]
    assert source.frame_count is None
    assert times == [Fraction(n, 25) for n in range(5)]
