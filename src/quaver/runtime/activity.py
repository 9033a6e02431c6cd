"""Where a frame may differ from its prediction: the activity mask at 1/8 resolution.

Where the mask is 0 nothing was coded and nothing moves; the picture then equals the prediction bit for bit, also
with trained corrections. Source: docs/format/arithmetic.md, Activity mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.int32]


def activity_mask(symbols: NDArray[np.int32], vectors: NDArray[np.int16]) -> Mask:
    """(h8, w8) of 0 and 1: 1 where a symbol of (96, h8, w8) or a vector of (h8, w8, 2) is not zero in the 3x3
    neighbourhood."""
    busy = symbols.any(axis=0) | vectors.any(axis=-1)
    padded = np.pad(busy, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return (rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]).astype(np.int32)
