"""Slopes and impulse responses of curves whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaver.lab.analyse.over_time import drift, impulse, mean_drift, mean_impulse, standard_error

REAL = st.floats(-10, 10)


@given(slope=REAL, offset=REAL, first=REAL, frames=st.integers(4, 40))
def test_slope_of_a_line_whatever_the_intra_frame(slope: float, offset: float, first: float, frames: int) -> None:
    curve = offset + slope * np.arange(frames)
    curve[0] = first
    found = drift(curve)
    assert found.slope == pytest.approx(slope, abs=1e-9)
    assert found.low <= found.slope + 1e-9 and found.high >= found.slope - 1e-9


def test_interval_covers_the_slope_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    curves = 0.3 * np.arange(32) + rng.normal(size=(400, 32))
    for covered in (
        [drift(curve) for curve in curves],
        [mean_drift(some) for some in curves.reshape(100, 4, 32)],
    ):
        share = np.mean([each.low <= 0.3 <= each.high for each in covered])
        assert 0.9 < share <= 1.0


def test_too_short_has_no_slope() -> None:
    assert np.isnan(drift(np.zeros(3)).slope) and np.isnan(mean_drift(np.zeros((2, 3))).slope)


@given(decay=st.floats(0, 0.95), size=st.floats(0.01, 10), frame=st.integers(0, 3))
def test_impulse_of_a_geometric_response(decay: float, size: float, frame: int) -> None:
    curve = np.zeros(30)
    curve[frame:] = size * decay ** np.arange(30 - frame)
    curve[:frame] = 5  # what came before does not matter
    found = impulse(curve, frame, size / 2)
    assert found.decay == pytest.approx(decay, abs=1e-6)
    assert found.gain == pytest.approx(curve[frame:].sum() / size)


@pytest.mark.parametrize(
    ("first", "floor", "known"),
    [(0.0, 0.0, False), (0.1, 0.1, False), (-0.2, 0.1, False), (0.2, 0.1, True), (0.2, float("nan"), False)],
)
def test_no_gain_where_the_first_frame_is_noise(first: float, floor: float, known: bool) -> None:
    curve = np.array([0.3, first, 1.0, -4.0, 0.5])
    for found in (impulse(curve, 1, floor), mean_impulse(np.stack([curve, curve]), 1, floor)):
        assert np.isfinite([found.gain, found.decay]).tolist() == [known, known]


def test_interval_of_a_gain_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    shape = 0.5 ** np.arange(40)
    sizes, noise = 1 + rng.random((300, 8, 1)), 0.05 * rng.normal(size=(300, 8, 40))
    found = [mean_impulse(curves, 0, 0.1) for curves in sizes * shape + noise]
    assert 0.9 < np.mean([each.gain_low <= 2.0 <= each.gain_high for each in found]) < 0.99
    exact = mean_impulse(sizes[0] * shape, 0, 0.1)
    assert (exact.gain_low, exact.gain_high, exact.decay_low, exact.decay_high) == pytest.approx((2, 2, 0.5, 0.5))


def test_no_interval_of_one_clip_nor_where_one_holds_it_all() -> None:
    curves = np.array([[4.0, 2.0, 1.0], [-1.0, 0.0, 0.0]])
    for some in (curves, curves[:1]):
        found = mean_impulse(some, 0, 0.1)
        assert np.isfinite(found.gain) and np.isnan([found.gain_low, found.decay_high]).all()


def test_standard_error() -> None:
    assert standard_error(np.array([1.0, 3.0])) == pytest.approx(1.0)
    assert np.isnan(standard_error(np.array([1.0])))
