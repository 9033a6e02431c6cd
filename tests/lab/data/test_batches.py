"""Batches: a pure function of their arguments, inside scenes, with chroma where luma is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quaver.errors import UsageError
from quaver.lab.data import batches
from quaver.lab.data.batches import Batch, largest_size, make_batch
from quaver.lab.data.cache import ClipCache

from .samples import clip_of, random_planes, slope_planes


def digest(batch: Batch) -> bytes:
    return b"".join(array.tobytes() for array in (batch.y, batch.u, batch.v, batch.quality))


@pytest.fixture
def cache(tmp_path: Path) -> ClipCache:
    clips = [clip_of(tmp_path, f"walk_{k}", random_planes(6 + k, 72, 96, k)) for k in range(3)]
    photo = clip_of(tmp_path, "photo", random_planes(1, 120, 140, 9), photo=True)
    return ClipCache((*clips, photo))


def test_pure_in_any_order(cache: ClipCache) -> None:
    def at(step: int) -> bytes:
        return digest(make_batch(cache, 7, step, 48, 3, 4))

    steps = [*range(-3, 9)]
    forward = [at(step) for step in steps]
    assert [at(step) for step in reversed(steps)] == forward[::-1]
    assert len(set(forward)) == len(steps)
    assert digest(make_batch(cache, 8, 0, 48, 3, 4)) != at(0)


def test_an_example_does_not_depend_on_the_others(cache: ClipCache) -> None:
    small, large = (make_batch(cache, 1, 2, 48, count, 3) for count in (2, 5))
    assert np.array_equal(small.y, large.y[:2]) and np.array_equal(small.quality, large.quality[:2])


def test_shapes_and_qualities(cache: ClipCache) -> None:
    batch = make_batch(cache, 0, 0, 32, 5, 4)
    assert batch.y.shape == (5, 4, 32, 32) and batch.u.shape == batch.v.shape == (5, 4, 16, 16)
    assert {array.dtype for array in (batch.y, batch.u, batch.v)} == {np.dtype(np.uint8)}
    seen = np.concatenate([make_batch(cache, 0, step, 16, 50, 1).quality for step in range(10)])
    assert set(seen.tolist()) == set(range(64))


def test_sequences_stay_inside_scenes(tmp_path: Path) -> None:
    levels = np.repeat(np.array([40, 90, 150, 210], np.uint8), (3, 1, 7, 4))
    flat = [np.broadcast_to(levels[:, None, None], (15, side, side)) for side in (32, 16, 16)]
    cache = ClipCache((clip_of(tmp_path, "cuts", flat, (0, 3, 4, 11)),))
    for step in range(40):
        y = make_batch(cache, 0, step, 32, 4, 3).y
        assert (y == y[:, :1, :1, :1]).all()
    with pytest.raises(UsageError, match="8 frames of 32x32"):
        make_batch(cache, 0, 0, 32, 1, 8)


def test_all_starts_are_reached_and_strides_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_TONE", 0)
    flat = [np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None] * 20, (9, p, p)) for p in (16, 8, 8)]
    cache = ClipCache((clip_of(tmp_path, "time", flat, (0, 4)),))
    seen = {tuple((make_batch(cache, 0, step, 16, 1, 3).y[0, :, 0, 0] // 20).tolist()) for step in range(200)}
    forward = {(0, 1, 2), (1, 2, 3), (4, 5, 6), (5, 6, 7), (6, 7, 8), (4, 6, 8)}
    assert seen == forward | {times[::-1] for times in forward}


def test_flips_keep_chroma_aligned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_TONE", 0)
    monkeypatch.setattr(batches, "_SHRUNK", 0)
    cache = ClipCache((clip_of(tmp_path, "slope", slope_planes(4, 96, 128)),))
    flipped = 0
    for step in range(30):
        batch = make_batch(cache, 0, step, 32, 1, 3)
        assert np.array_equal(batch.y, batch.u.repeat(2, 2).repeat(2, 3)) and np.array_equal(batch.u, batch.v)
        flipped += int(batch.u[0, 0, 0, 0]) > int(batch.u[0, 0, 0, 1])
    assert 5 < flipped < 25


def test_shrinking_keeps_chroma_aligned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_TONE", 0)
    monkeypatch.setattr(batches, "_SHRUNK", 1)
    cache = ClipCache((clip_of(tmp_path, "slope", slope_planes(4, 96, 128)),))
    steps = set()
    for step in range(30):
        batch = make_batch(cache, 0, step, 32, 1, 2)
        means = batch.y.reshape(1, 2, 16, 2, 16, 2).mean((3, 5))
        assert np.abs(means - batch.u).max() <= 1.0
        steps.add(abs(int(batch.u[0, 0, 0, 15]) - int(batch.u[0, 0, 0, 0])))
    assert max(steps) >= 29 and min(steps) <= 21  # 15 samples at factors 2 and 4/3


def test_no_source_dominates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_TONE", 0)

    def flat(frames: int, level: int) -> list[np.ndarray]:
        return [np.full((frames, p, p), level, np.uint8) for p in (40, 20, 20)]

    many = [clip_of(tmp_path, f"many_{k}", flat(20, 10), (0,)) for k in range(8)]
    cache = ClipCache(
        (*many, clip_of(tmp_path, "one_0", flat(20, 80)), clip_of(tmp_path, "p", flat(1, 200), photo=True))
    )
    levels = np.concatenate([make_batch(cache, 0, step, 16, 50, 2).y[:, 0, 0, 0] for step in range(12)])
    shares = [float((levels == level).mean()) for level in (10, 80, 200)]
    assert np.allclose(shares, [0.53, 0.32, 0.15], atol=0.07)


def test_clips_that_do_not_fit_are_left_alone(tmp_path: Path) -> None:
    small = clip_of(tmp_path, "small_0", random_planes(9, 32, 128))
    with pytest.raises(UsageError, match="no clip holds 2 frames of 48x48"):
        make_batch(ClipCache((small,)), 0, 0, 48, 1, 2)
    photo = clip_of(tmp_path, "photo", random_planes(1, 80, 80), photo=True)
    assert make_batch(ClipCache((small, photo)), 0, 0, 48, 2, 30).y.shape == (2, 30, 48, 48)


def test_the_largest_size_is_one_that_works(tmp_path: Path) -> None:
    video = clip_of(tmp_path, "v_0", random_planes(3, 48, 128))
    photo = clip_of(tmp_path, "p", random_planes(1, 120, 120), photo=True)
    for clips, frames, expected in (((video,), 3, 48), ((video,), 4, 16), ((video, photo), 4, 80)):
        cache = ClipCache(clips)
        assert largest_size(cache, frames, 192) == expected
        assert largest_size(cache, frames, 40) == min(expected, 32)
        if (clips, frames) != ((video,), 4):
            make_batch(cache, 0, 0, expected, 1, frames)
            with pytest.raises(UsageError):
                make_batch(cache, 0, 0, expected + 16, 1, frames)


@pytest.mark.parametrize("arguments", [(24, 1, 1), (0, 1, 1), (16, 0, 1), (16, 1, 0)])
def test_illegal_arguments(cache: ClipCache, arguments: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="multiples of 16"):
        make_batch(cache, 0, 0, *arguments)
