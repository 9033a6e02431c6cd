"""What the networks see, also of symbols that no encoder writes."""

from __future__ import annotations

import numpy as np
import pytest

from quaver.runtime import network_inputs


def _smooth(dc: np.ndarray, step: int, size: int) -> np.ndarray:
    """As docs/format/arithmetic.md says, sample by sample, over integers without bounds."""
    shift = 3 if size == 8 else 2
    means = [[min(max((int(d) * step >> shift) + 2048, -(2**15)), 2**15 - 1) for d in row] for row in dc]
    rows, columns = dc.shape

    def along(position: int, count: int) -> list[tuple[int, int]]:
        """(block, weight) of the two block centres around a sample."""
        block, offset = divmod(position, size)
        distance = 2 * offset + 1 - size
        other = min(max(block + (1 if distance > 0 else -1), 0), count - 1)
        return [(block, 2 * size - abs(distance)), (other, abs(distance))]

    result = np.zeros((rows * size, columns * size), np.int64)
    for i in range(rows * size):
        for j in range(columns * size):
            total = sum(a * b * means[r][c] for r, a in along(i, rows) for c, b in along(j, columns))
            result[i, j] = (total + 2 * size * size) >> (4 * size * size).bit_length() - 1
    return result


@pytest.mark.parametrize("largest", [200, 32767])
@pytest.mark.parametrize("step", [1, 77, 8192])
def test_smooth_pictures(largest: int, step: int) -> None:
    dc = np.random.default_rng(step).integers(-largest, largest + 1, (3, 2, 3)).astype(np.int32)
    planes = network_inputs.smooth_from_dc(dc, np.full(3, step, np.int32))
    for plane, symbols, size in zip(planes, dc, (8, 4, 4), strict=True):
        np.testing.assert_array_equal(plane, _smooth(symbols, step, size))


def test_extreme_symbols_stay_in_32_bits() -> None:
    """Casting what does not fit would warn, and mean something else on every machine."""
    dc = np.where(np.random.default_rng(1).random((3, 4, 6)) < 0.5, -32768, 32767).astype(np.int32)
    steps = np.full((96, 1, 1), 8192, np.int32)
    with np.errstate(all="raise"):
        smooth = network_inputs.smooth_from_dc(dc, steps[[0, 64, 80], 0, 0])
        network_inputs.coefficient_planes(smooth, np.ones_like(steps))
