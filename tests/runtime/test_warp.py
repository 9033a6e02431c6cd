"""Motion compensation against the definition: one sample at a time, with Python's integers."""

from __future__ import annotations

import numpy as np
import pytest

from quaver.runtime.picture import Picture
from quaver.runtime.warp import CHROMA_TAPS, LUMA_TAPS, VECTOR_LIMIT, compensate


def _sample(plane: list[list[int]], taps: list[list[int]], y: int, x: int, dy: int, dx: int) -> int:
    """The reference at (x + dx / phases, y + dy / phases), 4 fractional bits; edges repeat without limit."""
    phases, before = len(taps), len(taps[0]) // 2 - 1
    top, left = y + dy // phases - before, x + dx // phases - before
    height, width = len(plane), len(plane[0])
    total = 0
    for row, down in enumerate(taps[dy % phases]):
        line = plane[min(max(top + row, 0), height - 1)]
        for column, right in enumerate(taps[dx % phases]):
            total += down * right * line[min(max(left + column, 0), width - 1)]
    return (total + 128) >> 8


def _compensate(picture: Picture, vectors: np.ndarray) -> list[np.ndarray]:
    result = []
    for plane, size, taps in ((picture.y, 8, LUMA_TAPS), (picture.u, 4, CHROMA_TAPS), (picture.v, 4, CHROMA_TAPS)):
        samples = plane.tolist()
        predicted = [
            [
                _sample(
                    samples,
                    taps.tolist(),
                    y,
                    x,
                    int(vectors[y // size, x // size, 1]),
                    int(vectors[y // size, x // size, 0]),
                )
                for x in range(plane.shape[1])
            ]
            for y in range(plane.shape[0])
        ]
        result.append(np.array(predicted))
    return result


def _picture(rng: np.random.Generator, height: int, width: int, extreme: bool = False) -> Picture:
    def plane(rows: int, columns: int) -> np.ndarray:
        values = rng.integers(0, 2, (rows, columns)) * 255 if extreme else rng.integers(0, 256, (rows, columns))
        return values.astype(np.uint8)

    return Picture(plane(height, width), plane(height // 2, width // 2), plane(height // 2, width // 2))


@pytest.mark.parametrize("reach", [4, 30, 120, VECTOR_LIMIT])
@pytest.mark.parametrize("extreme", [False, True])
def test_random_vectors(reach: int, extreme: bool) -> None:
    rng = np.random.default_rng(reach)
    picture = _picture(rng, 16, 32, extreme)
    vectors = rng.integers(-reach, reach + 1, (2, 4, 2)).astype(np.int16)
    vectors[0, 0], vectors[1, 3] = (-reach, reach), (reach, -reach)
    for got, wanted in zip(compensate(picture, vectors), _compensate(picture, vectors), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_every_phase() -> None:
    rng = np.random.default_rng(1)
    picture = _picture(rng, 64, 64, extreme=True)
    vectors = np.stack(np.meshgrid(np.arange(8), np.arange(8)), axis=-1).astype(np.int16) - 4
    for got, wanted in zip(compensate(picture, vectors), _compensate(picture, vectors), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_zero_vectors_copy() -> None:
    picture = _picture(np.random.default_rng(2), 32, 48)
    planes = compensate(picture, np.zeros((4, 6, 2), np.int16))
    for got, wanted in zip(planes, (picture.y, picture.u, picture.v), strict=True):
        np.testing.assert_array_equal(got, wanted.astype(np.int32) << 4)


@pytest.mark.parametrize("taps", [LUMA_TAPS, CHROMA_TAPS])
def test_filters_have_gain_64_and_mirror(taps: np.ndarray) -> None:
    assert (taps.sum(1) == 64).all()
    for phase in range(1, len(taps)):
        np.testing.assert_array_equal(taps[phase], taps[-phase][::-1])


def test_sums_are_exact_in_float32() -> None:
    assert 255 * np.abs(LUMA_TAPS).sum(1).max() ** 2 < 2**24
