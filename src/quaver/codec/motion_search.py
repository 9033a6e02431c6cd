"""The encoder's motion search: quarter-sample vectors per 8x8 luma block by rate and distortion.

All blocks move together: a coarse search at quarter resolution, then rounds in which every block tries the
vectors of its neighbours and small steps around its own, rated against the neighbours' median and the previous
frame's vector; then rounds in which every 16x16 area chooses its four vectors again by the rate of the Haar
latents they become. Distortion is the squared error of luma, predicted as the codec predicts it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quaver.codec.motion_coarse import coarse_search
from quaver.codec.motion_native import NativeRounds
from quaver.codec.motion_rate import MotionRate
from quaver.codec.motion_rounds import SQUARE, Costs, Rounds, Vectors, with_edges
from quaver.runtime import haar, native
from quaver.runtime.picture import Plane

_SETTLING = 6  # rounds


def search_motion(
    current: Plane,
    reference: Plane,
    previous: NDArray[np.int16] | None,
    bit_cost: float,
    guess: NDArray[np.int16] | None = None,
) -> NDArray[np.int16]:
    """Vectors (h8, w8, 2) that predict `current` (Hp, Wp) from `reference`, both padded luma.

    `previous`: the vectors of the frame before, which make equal vectors cheaper. `bit_cost`: the squared
    error one bit must save, about 1.3 / lambda. `guess`: vectors from elsewhere, tried among the first.
    """
    rounds = (Rounds if native.kernels is None else NativeRounds)(current, reference, previous, bit_cost)
    best = np.zeros((*rounds.shape, 2), np.int16)
    cost = rounds.cost(best)
    coarse = coarse_search(current, reference) * 4
    if previous is not None:
        best, cost = rounds.improve(best, cost, rounds.previous)
    if guess is not None:
        best, cost = rounds.improve(best, cost, guess)
    best, cost = rounds.improve(best, cost, coarse)
    for step in (8, 4):
        best, cost = _refine(rounds, best, cost, step)
    best, cost = _propagate(rounds, best)
    best, cost = _refine(rounds, best, cost, 4)
    best, cost = _refine(rounds, best, cost, 2)
    best, cost = _refine(rounds, best, cost, 1)
    best, cost = _propagate(rounds, best)
    return _settle(rounds, best)


def _refine(rounds: Rounds, best: Vectors, cost: Costs, step: int) -> tuple[Vectors, Costs]:
    """Try eight vectors around each block's own."""
    centre = best
    for down, right in SQUARE:
        best, cost = rounds.improve(best, cost, centre, right * step, down * step)
    return best, cost


def _propagate(rounds: Rounds, best: Vectors) -> tuple[Vectors, Costs]:
    """Try the neighbours' vectors and their median."""
    cost = rounds.cost(best)  # the neighbours have moved since it was last computed
    padded = with_edges(best)
    height, width = rounds.shape
    for down, right in SQUARE[:4]:
        best, cost = rounds.improve(best, cost, padded[1 + down : 1 + down + height, 1 + right : 1 + right + width])
    return rounds.improve(best, cost, rounds.median(best))


def _settle(rounds: Rounds, best: Vectors) -> Vectors:
    """Choose each 16x16 area's four vectors again, by the rate of the Haar latents they become."""
    past_average = np.ascontiguousarray(haar.forward(rounds.previous)[0])
    for number in range(_SETTLING):
        best = rounds.settle(best, MotionRate.around(best, past_average), 1 << number % 3)
    return best
