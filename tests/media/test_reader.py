"""What can be opened, what is refused and in which words."""

import contextlib
import os
import threading
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from quaver.errors import MediaError, UsageError
from quaver.media.png import encode_png
from quaver.media.reader import open_video

from .samples import h264, noise, same_samples, video_format, write


@pytest.fixture(name="clip", scope="module")
def _clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("clip") / "clip.y4m", noise(video_format(33, 17), range(6)))


@pytest.mark.parametrize(
    ("frames", "numbers"),
    [
        (None, [0, 1, 2, 3, 4, 5]),
        (slice(2, 4), [2, 3]),
        (slice(4, 100), [4, 5]),
        (slice(None, None, 2), [0, 2, 4]),
        (slice(1, 6, 3), [1, 4]),
    ],
)
def test_slices_keep_the_times_of_the_frames(clip: Path, frames: slice | None, numbers: list[int]) -> None:
    whole = noise(video_format(33, 17), range(6))
    with open_video(clip, frames) as source:
        assert source.frame_count == len(numbers)
        got = list(source)
    assert [frame.pts for frame in got] == numbers
    assert all(same_samples(frame, whole[frame.pts]) for frame in got)


@pytest.mark.parametrize("frames", [slice(-1, None), slice(3, 3), slice(None, None, 0), slice(None, -2)])
def test_slices_that_cannot_be_read_forwards_are_refused(clip: Path, frames: slice) -> None:
    with pytest.raises(UsageError, match="legal is 0 <= start < stop, step >= 1"):
        open_video(clip, frames)


def test_a_slice_past_the_end_says_how_long_the_video_is(clip: Path) -> None:
    with open_video(clip, slice(10, None)) as source, pytest.raises(MediaError, match=r"\[10:\].* has 6 "):
        list(source)


def test_one_pass_only(clip: Path) -> None:
    with open_video(clip) as source:
        assert len(list(source)) == 6
        assert list(source) == []


def test_a_pipe_is_read(clip: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    feeder.start()
    with open_video(pipe) as source:
        assert len(list(source)) == 6
    feeder.join()


def test_a_picture_is_a_video_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    path.write_bytes(encode_png(np.full((23, 17, 3), 90, np.uint8)))
    with open_video(path) as source:
        (frame,) = source
    assert source.converted
    assert np.abs(frame.to_rgb().astype(int) - 90).max() <= 1


def test_a_name_like_an_address_is_a_file(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("http:clip.y4m").write_bytes(clip.read_bytes())
    with open_video("http:clip.y4m") as source:
        assert source.frame_count == 6


def _wav(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))


def _bad(folder: Path, clip: Path) -> dict[str, Path]:
    """Files, each wrong in its own way."""
    contents = {
        "empty.mp4": b"",
        "text.txt": b"not a video\n" * 100,
        "random.mp4": np.random.default_rng(1).bytes(5000),
        "small.h264": h264(8, 8, 2),
        "wide.y4m": b"YUV4MPEG2 W9000 H9000 F25:1 Ip C420jpeg\nFRAME\n" + bytes(1000),
        "vast.y4m": b"YUV4MPEG2 W1000000000 H1000000000 F25:1 Ip C420jpeg\nFRAME\n" + bytes(1000),
        "header.y4m": clip.read_bytes()[:100],
        "playlist.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://localhost/x.ts\n#EXT-X-ENDLIST\n",
    }
    paths = {name: folder / name for name in (*contents, "folder", "missing.mp4", "x" * 300, "sound.wav")}
    for name, content in contents.items():
        paths[name].write_bytes(content)
    paths["folder"].mkdir()
    _wav(paths["sound.wav"])
    return paths


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty.mp4", "the file is empty; legal is"),
        ("text.txt", "is a text file; legal is"),
        ("random.mp4", "not a readable video .*; legal is"),
        ("small.h264", "picture size 8x8 .* must be 16 to 16384"),
        ("wide.y4m", "picture size 9000x9000 .* at most 67108864"),
        ("vast.y4m", "not a readable video"),
        ("header.y4m", "no picture can be decoded"),
        ("playlist.m3u8", "not a readable video"),
        ("folder", "is a directory"),
        ("missing.mp4", "no such file"),
        ("x" * 300, "not a readable video .File name too long"),
        ("sound.wav", "holds no video, only audio"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path, clip: Path, name: str, words: str) -> None:
    path = _bad(tmp_path, clip)[name]
    with pytest.raises(MediaError, match=words) as caught:
        open_video(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_size_that_changes_midway_is_an_error_at_that_frame(tmp_path: Path) -> None:
    path = tmp_path / "change.h264"
    path.write_bytes(h264(64, 48, 5) + h264(96, 64, 5))
    numbers = []
    with open_video(path) as source, pytest.raises(MediaError, match=r"frame 5 is 96x64 but .* 64x48"):
        numbers.extend(frame.y.shape for frame in source)
    assert numbers == [(48, 64)] * 5


def test_damage_midway_is_an_error_at_that_frame(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "damaged.y4m"
    data = bytearray(clip.read_bytes())
    third = [i for i in range(len(data)) if data.startswith(b"FRAME\n", i)][3]
    data[third : third + 5] = b"BROKE"
    path.write_bytes(data)
    with open_video(path) as source, pytest.raises(MediaError, match="frame 3 cannot be decoded"):
        list(source)


def test_a_file_cut_inside_a_frame_gives_the_whole_frames(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "cut.y4m"
    path.write_bytes(clip.read_bytes()[:-100])
    with open_video(path) as source:
        assert len(list(source)) == 5


def test_a_song_with_a_cover_is_no_video(tmp_path: Path) -> None:
    """An attached picture: ID3v2.3 with an APIC frame before silence in MP3."""
    picture = b"\x00image/png\x00\x03\x00" + encode_png(np.zeros((16, 16, 3), np.uint8))
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\x00\x00" + picture
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    silence = b"\xff\xfb\x90\x64" + bytes(413)  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz
    path = tmp_path / "song.mp3"
    path.write_bytes(b"ID3\x03\x00\x00" + size + frame + silence * 20)
    with pytest.raises(MediaError, match="holds no video, only audio"):
        open_video(path)


@pytest.mark.parametrize("suffix", [".y4m", ".mkv", ".mp4"])
def test_damaged_bytes_give_growing_times_or_a_media_error(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"whole{suffix}", noise(video_format(), range(4))).read_bytes()
    path = tmp_path / f"damaged{suffix}"
    random = np.random.default_rng(11)
    for _ in range(40):
        data = np.frombuffer(whole, np.uint8).copy()
        at = random.integers(0, min(len(data), 600), 3)
        data[at] = random.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        times = [-(2**63)]
        with contextlib.suppress(MediaError), open_video(path) as source:
            times.extend(frame.pts for frame in source)
        assert all(a < b for a, b in pairwise(times))
