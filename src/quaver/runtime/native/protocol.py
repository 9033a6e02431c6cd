"""What the extension `_kernels` offers; module.c is its source."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Shorts = NDArray[np.int16]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Memo = NDArray[np.uint32]


class Kernels(Protocol):
    """Functions over C-contiguous arrays. Their last arguments are results, which the caller has made.

    Shapes and meaning are those of the NumPy function that each kernel stands for. TypeError and ValueError name an
    array of another type, shape or layout than is legal.
    """

    def phase_planes(self, reference: Bytes, margin: int, taps: Shorts, planes: Bytes, /) -> None: ...
    def coarse_search(
        self, current: Shorts, reference: Shorts, reach: int, order: Shorts, chosen: Shorts, /
    ) -> None: ...
    def median_field(self, field: Shorts, median: Shorts, /) -> None: ...
    def improve(
        self,
        planes: Bytes,
        current: Bytes,
        previous: Shorts,
        sizes: Floats,
        bit_cost: float,
        memo: Memo,
        candidate: Shorts,
        right: int,
        down: int,
        best: Shorts,
        cost: Floats,
        /,
    ) -> None:
        """Take `candidate`, moved by (right, down), where that costs less; `best` and `cost` change in place."""

    def settle_round(
        self,
        planes: Bytes,
        current: Bytes,
        previous: Shorts,
        sizes: Floats,
        bit_cost: float,
        memo: Memo,
        best: Shorts,
        predicted: Ints,
        classes: Bytes,
        lengths: Floats,
        reach: int,
        result: Shorts,
        /,
    ) -> None: ...
    def motion_statistics(
        self, vectors: Shorts, past: Ints, predicted: Ints, classes: Bytes, totals: Longs, /
    ) -> None: ...
    def pyramid_residual(self, values: Ints, past: Ints | None, result: Ints, /) -> None: ...
    def pyramid_reconstruct(self, values: Ints, past: Ints | None, result: Ints, /) -> None: ...
    def compensate_plane(self, plane: Bytes, vectors: Shorts, taps: Shorts, result: Ints, /) -> None: ...
    def forward_transform(self, plane: Ints, matrix: Ints, coefficients: Ints, /) -> bool:
        """False, with `coefficients` undefined, where a sample exceeds 16 bits."""

    def inverse_transform(self, coefficients: Ints, matrix: Ints, plane: Ints, /) -> None: ...
    def quantize(self, scaled: Floats, means: Floats, levels: Ints, rounding: float, symbols: Ints, /) -> None:
        """Means (1, 1, 1), or as many as `scaled` (96, h, w)."""

    def level_bits(self, symbols: Ints, table: Bytes, lengths: Ints, result: Longs, /) -> None:
        """At level 0: 0, or -1 where the area's symbols are not all zero."""

    def compand_steps(self, values: Ints, steps: Ints, table: Bytes, codes: Bytes, /) -> None: ...
    def saved_error(self, scaled: Floats, symbols: Ints, saved: Doubles, /) -> None: ...
