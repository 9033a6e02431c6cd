"""The rounds of the motion search by kernels in C: the same vectors, bit for bit."""

from __future__ import annotations

import numpy as np

from quaver.codec.motion_rate import MotionRate
from quaver.codec.motion_rounds import SIZES, Costs, Rounds, Vectors
from quaver.runtime import native
from quaver.runtime.picture import Plane

_MEMO_WAYS, _MEMO_EMPTY = 8, 0x80008000  # as in kernels.h


class NativeRounds(Rounds):
    """`Rounds` with the squared errors of recent vectors remembered, and nothing computed that cannot win."""

    def __init__(self, current: Plane, reference: Plane, previous: Vectors | None, bit_cost: float) -> None:
        super().__init__(current, reference, previous, bit_cost)
        assert native.kernels is not None
        self._kernels = native.kernels
        memo = np.full((self.shape[0] * self.shape[1], _MEMO_WAYS, 2), _MEMO_EMPTY, np.uint32)
        self._fixed = (
            self.planes,
            np.ascontiguousarray(current),
            np.ascontiguousarray(self.previous, np.int16),
            SIZES,
            float(self.bit_cost),
            memo,
        )

    def cost(self, vectors: Vectors) -> Costs:
        return self.improve(vectors, np.full(self.shape, np.inf, np.float32), vectors)[1]

    def improve(
        self, best: Vectors, cost: Costs, candidate: Vectors, right: int = 0, down: int = 0
    ) -> tuple[Vectors, Costs]:
        best, cost, candidate = best.copy(), cost.copy(), np.ascontiguousarray(candidate)
        self._kernels.improve(*self._fixed, candidate, right, down, best, cost)
        return best, cost

    def median(self, field: Vectors) -> Vectors:
        middle = np.empty_like(field)
        self._kernels.median_field(field, middle)
        return middle

    def settle(self, best: Vectors, rate: MotionRate, reach: int) -> Vectors:
        result = np.empty_like(best)
        self._kernels.settle_round(*self._fixed, best, rate.predicted, rate.classes, rate.lengths, reach, result)
        return result
