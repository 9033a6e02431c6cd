"""Cuts: found where they are, not in fast motion."""

from __future__ import annotations

import numpy as np

from quaver.lab.data.scenes import scene_starts, thumbnail


def test_a_cut_stands_out() -> None:
    assert scene_starts([1.0, 1.2, 30.0, 0.9, 1.1]) == (0, 3)
    assert scene_starts([8.0, 0.5]) == (0, 1)
    assert scene_starts([0.5, 8.0]) == (0, 2)


def test_fast_motion_is_no_cut() -> None:
    assert scene_starts([22.0, 34.2, 46.4, 36.2, 30.4]) == (0,)
    assert scene_starts([0.2, 3.0, 0.2]) == (0,)
    assert scene_starts([]) == (0,)


def test_a_cut_amid_fast_motion_is_one() -> None:
    assert scene_starts([25.0, 70.0, 28.0]) == (0, 2)


def test_thumbnails_are_block_means() -> None:
    luma = np.random.default_rng(0).integers(0, 256, (20, 33), dtype=np.uint8)
    small = thumbnail(luma)
    assert small.shape == (2, 4)
    assert small[1, 2] == luma[8:16, 16:24].mean()
