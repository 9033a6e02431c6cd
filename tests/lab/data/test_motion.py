"""Photos in motion."""

from __future__ import annotations

import numpy as np
import pytest

from quaver.lab.data import motion
from quaver.lab.data.motion import least_side, photo_sequence

from .samples import Bytes, random_planes


def smooth_photo(height: int, width: int) -> tuple[Bytes, Bytes, Bytes]:
    """A gentle slope, whose chroma is the mean of its four luma samples."""
    wide = np.add.outer(np.arange(height) * 0.3, np.arange(width) * 0.45)
    y = np.clip(20 + wide, 0, 255)
    chroma = y.reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    y8, chroma8 = (np.rint(p).astype(np.uint8)[None] for p in (y, chroma))
    return y8, chroma8, chroma8


def test_chroma_follows_luma() -> None:
    photo = smooth_photo(256, 256)
    for seed in range(12):
        y, u, v = photo_sequence(photo, np.random.default_rng(seed), 64, 3)
        means = y.reshape(3, 32, 2, 32, 2).mean((2, 4))
        assert np.array_equal(u, v)
        assert np.abs(means - u).max() <= 1.25  # roundings of the photo, of luma and of chroma


def test_most_move_and_some_stand_still() -> None:
    photo = random_planes(1, 160, 200)
    sequences = [photo_sequence(photo, np.random.default_rng(seed), 64, 3) for seed in range(40)]
    moving = [any((p[t] != p[0]).any() for p in s for t in (1, 2)) for s in sequences]
    assert 24 <= sum(moving) < 40
    assert all(s[0].shape == (3, 64, 64) and s[1].shape == (3, 32, 32) for s in sequences)


@pytest.mark.parametrize("frames", [1, 12])
def test_the_smallest_photo_suffices(frames: int) -> None:
    side = least_side(64) + least_side(64) % 2
    photo = random_planes(1, side, side + 300)
    for seed in range(20):
        assert photo_sequence(photo, np.random.default_rng(seed), 64, frames)[0].shape == (frames, 64, 64)
    with pytest.raises(ValueError, match="too small"):
        photo_sequence(random_planes(1, 64, 64), np.random.default_rng(0), 64, frames)


def test_windows_at_whole_samples_are_copies() -> None:
    plane = random_planes(1, 64, 72)[0][0]
    window = motion._resampled(plane, np.array([11.0, 20.0]), np.eye(2), (16, 24))
    assert np.array_equal(window, plane[11:27, 20:44])


def test_a_turn_by_a_right_angle_in_small_steps() -> None:
    rows, columns = np.mgrid[:96, :96]
    plane = np.rint(128 + 60 * np.sin(rows / 9) + 50 * np.cos(columns / 7)).astype(np.uint8)
    for angle in (-0.3, 0.1, 0.25):
        turn = 1.3 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        window = motion._resampled(plane, np.array([30.0, 33.0]), turn, (24, 24))
        y, x = np.array([30.0, 33.0])[:, None, None] + np.einsum("ij,jrc->irc", turn, np.mgrid[:24, :24])
        assert np.abs(window - (128 + 60 * np.sin(y / 9) + 50 * np.cos(x / 7))).max() < 2.5


def test_a_patch_moves_on_its_own() -> None:
    photo = random_planes(1, 200, 200)
    path = motion.Path(np.full((4, 2), 100.0), np.broadcast_to(1.25 * np.eye(2), (4, 2, 2)))
    moved = 0
    for seed in range(6):
        still = tuple(np.zeros((4, 64 // p, 64 // p), np.uint8) for p in (1, 2, 2))
        motion._add_patch(photo, still, path, np.random.default_rng(seed))
        covered = [int((still[0][t] > 0).sum()) for t in range(4)]
        assert max(covered) > 50 and min(covered) < 64 * 64
        moved += any((still[0][t] != still[0][0]).any() for t in range(1, 4))
    assert moved == 6
