"""Which clips an analysis gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quaver.errors import UsageError
from quaver.lab.analyse.clips import ClipSet, choose_clips, points_of
from quaver.lab.data.cache import ClipCache

from ..data.samples import clip_of, random_planes
from .toy import toy_clips


def test_crops_are_inside_one_scene_and_the_same_again(tmp_path: Path) -> None:
    planes = random_planes(12, 48, 64)
    for plane in planes:
        plane[:7] = 0  # the first scene is black, and too short for six frames from frame 2 on
    cache = ClipCache((clip_of(tmp_path, "a_0", planes, scenes=(0, 7)), clip_of(tmp_path, "a_1", planes)))
    chosen = choose_clips(cache, 2, 7, 32, seed=3)
    assert chosen.y.shape == (2, 7, 32, 32) and chosen.u.shape == (2, 7, 16, 16)
    assert chosen.hash == choose_clips(cache, 2, 7, 32, seed=3).hash
    scene = next(n for n, name in enumerate(chosen.names) if name.startswith("a_0"))
    assert not chosen.y[scene].any()


def test_sources_take_turns(tmp_path: Path) -> None:
    planes = random_planes(4, 16, 16)
    cache = ClipCache(tuple(clip_of(tmp_path, f"{source}_{n}", planes) for source in "abc" for n in range(3)))
    names = choose_clips(cache, 3, 4, 16).names
    assert {name[0] for name in names} == set("abc")
    assert len(choose_clips(cache, 99, 4, 16)) == 9


def test_no_usable_video(tmp_path: Path) -> None:
    planes = random_planes(4, 16, 16)
    cache = ClipCache((clip_of(tmp_path, "a", planes), clip_of(tmp_path, "p", planes, photo=True)))
    for frames, size in ((5, 16), (4, 32)):
        with pytest.raises(UsageError, match=f"none of the 1 videos holds {frames} frames of {size}x{size}"):
            choose_clips(cache, 2, frames, size)
    with pytest.raises(UsageError, match="multiples of 16"):
        choose_clips(cache, 2, 4, 20)


def test_batches_are_clips_at_points() -> None:
    clips = toy_clips(3)
    y, u, _ = clips.frame(2, repeat=2)
    assert y.shape == (6, 16, 16) and u.shape == (6, 8, 8)
    np.testing.assert_array_equal(y[4].numpy(), clips.y[1, 2])
    assert points_of(clips, (0, 2)).tolist() == [0, 0, 0, 2, 2, 2]


def test_shapes_are_checked() -> None:
    clips = toy_clips(1)
    with pytest.raises(UsageError, match="4:2:0"):
        ClipSet(clips.names, clips.y, clips.y, clips.v)
    with pytest.raises(UsageError, match="multiples of 16"):
        ClipSet(("a",), clips.y[..., :8], clips.u[..., :4], clips.v[..., :4])
