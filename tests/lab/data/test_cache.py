"""The clip cache: what is decoded, what is kept, what is never believed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quaver.errors import MediaError, UsageError
from quaver.lab.data import cache as module
from quaver.lab.data.cache import Clip, build_cache
from quaver.media.reader import VideoSource, open_video

from .samples import random_planes, write_photo, write_video


def names(folder: Path, cache: Path, *exclude: str) -> list[str]:
    return [clip.name for clip in build_cache(folder, cache, exclude).clips]


def breaking(number: int, error: BaseException) -> type[VideoSource]:
    """A video source that fails before frame `number`."""

    class Breaking(VideoSource):
        def __iter__(self) -> Iterator[module.Frame]:
            for t, frame in enumerate(super().__iter__()):
                if t == number:
                    raise error
                yield frame

    return Breaking


def test_planes_are_the_decoded_frames(tmp_path: Path) -> None:
    planes = random_planes(5, 48, 80)
    write_video(tmp_path / "data/park_walk_3.mkv", planes)
    (clip,) = build_cache(tmp_path / "data", tmp_path / "cache").clips
    assert (clip.name, clip.source, clip.photo, clip.scenes[0]) == ("park_walk_3", "park_walk", False, 0)
    assert all(np.array_equal(a, b) for a, b in zip(clip.planes(), planes, strict=True))


def test_odd_sizes_lose_a_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y, u = rng.integers(0, 256, (2, 33, 51), dtype=np.uint8), rng.integers(0, 256, (2, 17, 26), dtype=np.uint8)
    write_video(tmp_path / "data/odd.mkv", (y, u, u))
    (clip,) = build_cache(tmp_path / "data", tmp_path / "cache").clips
    stored = clip.planes()
    assert np.array_equal(stored[0], y[:, :32, :50])
    assert np.array_equal(stored[2], u[:, :16, :25])


def test_large_videos_are_shrunk_to_720_lines(tmp_path: Path) -> None:
    grey = np.full((1, 1500, 752), 90, np.uint8), *(np.full((1, 750, 376), 120, np.uint8),) * 2
    write_video(tmp_path / "data/tall.mkv", grey)
    (clip,) = build_cache(tmp_path / "data", tmp_path / "cache").clips
    assert (clip.height, clip.width) == (1436, 720)
    assert [np.unique(plane).tolist() for plane in clip.planes()] == [[90], [120], [120]]


def test_photos_are_clips_of_one_frame(tmp_path: Path) -> None:
    write_photo(tmp_path / "data/a.png", 40, 64)
    (clip,) = build_cache(tmp_path / "data", tmp_path / "cache").clips
    assert clip.photo and clip.planes()[0].shape == (1, 40, 64)


def test_order_and_exclusion(tmp_path: Path) -> None:
    for k, name in enumerate(("b/sea_1", "a/sea_0", "a/dog_0", "c")):
        write_video(tmp_path / f"data/{name}.mkv", random_planes(2, 16, 16, k))
    (tmp_path / "data/notes.txt").write_text("not a video")
    data, cache = tmp_path / "data", tmp_path / "cache"
    assert names(data, cache) == ["dog_0", "sea_0", "sea_1", "c"]
    assert names(data, cache, "sea_*") == ["dog_0", "c"]
    assert names(data, cache, "dog_0.mkv", "b/*") == ["sea_0", "c"]
    with pytest.raises(UsageError, match="no usable video"):
        build_cache(data, cache, ("*",))


def test_nothing_is_decoded_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "data/a.mkv", random_planes(3, 16, 16))
    first = build_cache(tmp_path / "data", tmp_path / "cache")
    path.rename(tmp_path / "data/b.mkv")
    write_video(path, random_planes(3, 16, 16))
    build_cache(tmp_path / "data", tmp_path / "cache", ("b",))
    (tmp_path / "data/b.mkv").unlink()
    monkeypatch.setattr(module, "open_video", lambda *_: pytest.fail("decoded again"))
    assert build_cache(tmp_path / "data", tmp_path / "cache") == first


def test_a_file_with_new_content_is_decoded_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "data/a.y4m", random_planes(2, 16, 16, 1))
    times = path.stat().st_mtime_ns
    build_cache(tmp_path / "data", tmp_path / "cache")
    planes = random_planes(2, 16, 16, 2)
    write_video(path, planes)
    os.utime(path, ns=(times, times))
    (clip,) = build_cache(tmp_path / "data", tmp_path / "cache").clips
    assert np.array_equal(clip.planes()[0], planes[0])


def test_an_interrupted_build_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    planes = [random_planes(3, 16, 16, k) for k in range(2)]
    for k in range(2):
        write_video(data / f"{k}.mkv", planes[k])
    build_cache(data, cache, ("1",))
    kept = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    monkeypatch.setattr(module, "open_video", breaking(2, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        build_cache(data, cache)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == kept
    monkeypatch.setattr(module, "open_video", open_video)
    clips = build_cache(data, cache).clips
    assert all(np.array_equal(clip.planes()[0], planes[k][0]) for k, clip in enumerate(clips))


@pytest.mark.parametrize("damage", ["no description", "half a description", "cut data", "no data"])
def test_what_a_kill_leaves_is_not_believed(tmp_path: Path, damage: str) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    planes = random_planes(3, 16, 16)
    write_video(data / "a.mkv", planes)
    (clip,) = build_cache(data, cache).clips
    stored = Path(clip.file)
    note = stored.with_suffix(".json")
    if damage == "no description":
        note.unlink()
        stored.write_bytes(bytes(clip.bytes))
    elif damage == "half a description":
        note.write_text(note.read_text()[:20])
    elif damage == "cut data":
        stored.write_bytes(stored.read_bytes()[:-1])
    else:
        stored.unlink()
    old, fresh = (cache / f"{stored.name}.{number}.part" for number in (1, 2))
    for part in (old, fresh):
        part.write_bytes(b"left by a killed build")
    os.utime(old, (0, 0))
    assert build_cache(data, cache).clips == (clip,)
    assert np.array_equal(clip.planes()[0], planes[0])
    assert not old.exists() and fresh.exists()


def test_unreadable_files_are_reported_in_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_video(data / "good.mkv", random_planes(2, 16, 16))
    (data / "bad.mp4").write_bytes(b"nothing of the kind" * 9)
    (data / "empty.mkv").touch()
    lines: list[str] = []
    clips = build_cache(data, tmp_path / "cache", warn=lines.append).clips
    assert [clip.name for clip in clips] == ["good"]
    assert len(lines) == 2 and all("\n" not in line and line.startswith("left out: ") for line in lines)
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".i420", ".json"}


def test_a_video_that_breaks_off_keeps_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = random_planes(5, 16, 16)
    write_video(tmp_path / "data/a.mkv", planes)
    monkeypatch.setattr(module, "open_video", breaking(3, MediaError("a.mkv: frame 3 cannot be decoded")))
    lines: list[str] = []
    (clip,) = build_cache(tmp_path / "data", tmp_path / "cache", warn=lines.append).clips
    assert lines == ["cut short after 3 frames: a.mkv: frame 3 cannot be decoded"]
    assert np.array_equal(clip.planes()[0], planes[0][:3])


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    for folder in "xy":
        write_video(tmp_path / f"data/{folder}/a.y4m", random_planes(2, 16, 16))
    assert names(tmp_path / "data", tmp_path / "cache") == ["a"]


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    write_video(tmp_path / "data/a.mkv", random_planes(2, 16, 16))
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write the clip cache"):
        build_cache(tmp_path / "data", tmp_path / "file")
    with pytest.raises(UsageError, match="not a folder"):
        build_cache(tmp_path / "nowhere", tmp_path / "cache")


def test_progress_counts_files(tmp_path: Path) -> None:
    for k in range(2):
        write_video(tmp_path / f"data/{k}.mkv", random_planes(2, 16, 16, k))
    seen: list[tuple[int, int, str]] = []
    build_cache(tmp_path / "data", tmp_path / "cache", show=lambda *state: seen.append(state))
    assert seen == [(0, 2, "0.mkv"), (1, 2, "1.mkv"), (2, 2, "")]


def test_scene_lengths() -> None:
    assert Clip("a", "a", "", 10, 16, 16, (0, 3, 4), False).scene_lengths == (3, 1, 6)
