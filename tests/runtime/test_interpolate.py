"""The encoder's sixteen phase planes are the decoder's predictions, rounded to 8 bits."""

from __future__ import annotations

import numpy as np
import pytest

from quaver.runtime.interpolate import phase_planes
from quaver.runtime.picture import Picture
from quaver.runtime.warp import compensate

MARGIN = 12


@pytest.mark.parametrize("extreme", [False, True])
def test_every_phase_and_the_margin(extreme: bool) -> None:
    rng = np.random.default_rng(extreme)
    y = rng.integers(0, 2, (32, 48)) * 255 if extreme else rng.integers(0, 256, (32, 48))
    picture = Picture(y.astype(np.uint8), np.zeros((16, 24), np.uint8), np.zeros((16, 24), np.uint8))
    planes = phase_planes(picture.y, MARGIN)
    assert planes.shape == (16, 32 + 2 * MARGIN, 48 + 2 * MARGIN) and planes.dtype == np.uint8
    for phase in range(16):
        py, px = divmod(phase, 4)
        for down, right in ((0, 0), (-MARGIN, MARGIN), (MARGIN, -MARGIN)):
            vectors = np.broadcast_to(np.array([4 * right + px, 4 * down + py], np.int16), (4, 6, 2))
            predicted = np.clip((compensate(picture, vectors)[0] + 8) >> 4, 0, 255)
            window = planes[phase, MARGIN + down :, MARGIN + right :][:32, :48]
            np.testing.assert_array_equal(window, predicted)
