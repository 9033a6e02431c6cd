"""Shrinking and tone."""

from __future__ import annotations

import numpy as np
import pytest

from quaver.lab.data.augment import change_tone, shrink

from .samples import random_planes


def test_halving_is_the_mean_of_four() -> None:
    planes = random_planes(2, 64, 64)
    for small, plane in zip(shrink(planes, 32), planes, strict=True):
        half = plane.shape[1] // 2
        means = plane.reshape(2, half, 2, half, 2).mean((2, 4))
        assert np.array_equal(small, np.rint(means))


@pytest.mark.parametrize("n", [34, 42, 48, 64])
def test_areas_are_covered_once(n: int) -> None:
    rng = np.random.default_rng(n)
    y = rng.integers(0, 256, (1, n, n), dtype=np.uint8)
    small = shrink((y, y[:, ::2, ::2], y[:, ::2, ::2]), 32)[0]
    # n * 32 fine parts of one row: 32 to each sample, n to each output.
    fine = y.astype(float).repeat(32, 1).repeat(32, 2).reshape(1, 32, n, 32, n).mean((2, 4))
    assert np.abs(small - fine).max() <= 0.501


def test_tone_leaves_grey_grey_and_frames_alike() -> None:
    y = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(16, 16), (3, 16, 16))
    u = np.full((3, 8, 8), 128, np.uint8)
    changed = change_tone((y, u, u), np.random.default_rng(3))
    assert (np.diff(changed[0][0].ravel().astype(int)) >= 0).all()
    assert all((plane == plane[0]).all() for plane in changed)
    assert (changed[1] == 128).all()
