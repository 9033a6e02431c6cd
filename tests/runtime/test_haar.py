"""The S-transform of vectors against its definition, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest

from quaver.runtime import haar


def _forward(block: list[list[int]]) -> tuple[int, int, int, int]:
    """One component of a 2x2 area: average, horizontal, vertical, diagonal."""
    lows = [(a + b) >> 1 for a, b in block]
    highs = [a - b for a, b in block]
    return (lows[0] + lows[1]) >> 1, (highs[0] + highs[1]) >> 1, lows[0] - lows[1], highs[0] - highs[1]


@pytest.mark.parametrize("limit", [1, 40, 1023, 32767])
def test_forward(limit: int) -> None:
    vectors = np.random.default_rng(limit).integers(-limit, limit + 1, (6, 4, 2)).astype(np.int16)
    latents = haar.forward(vectors)
    assert latents.shape == (4, 2, 3, 2)
    for row, column, component in np.ndindex(3, 2, 2):
        block = vectors[2 * row : 2 * row + 2, 2 * column : 2 * column + 2, component].tolist()
        assert tuple(latents[:, component, row, column].tolist()) == _forward(block)


@pytest.mark.parametrize("limit", [1, 40, 1023, 32767])
@pytest.mark.parametrize("shape", [(2, 2), (2, 16), (18, 4)])
def test_inverse_of_forward(limit: int, shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(limit).integers(-limit, limit + 1, (*shape, 2)).astype(np.int16)
    np.testing.assert_array_equal(haar.inverse(haar.forward(vectors)), vectors)


@pytest.mark.parametrize("limit", [1, 2000, 1 << 20])
def test_forward_of_inverse(limit: int) -> None:
    """Every combination of latents stands for vectors, so a decoder only has to check the vectors' range."""
    latents = np.random.default_rng(limit).integers(-limit, limit + 1, (4, 2, 5, 3)).astype(np.int32)
    np.testing.assert_array_equal(haar.forward(haar.inverse(latents)), latents)


def test_equal_vectors_have_no_details() -> None:
    latents = haar.forward(np.full((4, 4, 2), -7, np.int16))
    assert (latents[0] == -7).all() and not latents[1:].any()
