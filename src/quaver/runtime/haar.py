"""Motion vectors as reversible 2x2 Haar latents at 1/16 resolution (the S-transform).

Source: Calderbank, Daubechies, Sweldens, Yeo, "Wavelet transforms that map integers to integers", 1998.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def forward(vectors: NDArray[np.signedinteger[Any]]) -> NDArray[np.int32]:
    """Vectors (h, w, 2), h and w even, to latents (4, 2, h/2, w/2): average, horizontal, vertical, diagonal."""
    v = vectors.astype(np.int32).transpose(2, 0, 1)
    low, high = _split(v[:, :, 0::2], v[:, :, 1::2])
    average, vertical = _split(low[:, 0::2], low[:, 1::2])
    horizontal, diagonal = _split(high[:, 0::2], high[:, 1::2])
    return np.stack([average, horizontal, vertical, diagonal])


def inverse(latents: NDArray[np.int32]) -> NDArray[np.int32]:
    """Latents (4, 2, h, w) back to vectors (2h, 2w, 2), exactly; the caller checks their range."""
    average, horizontal, vertical, diagonal = latents
    low, high = _interleave(*_merge(average, vertical), 1), _interleave(*_merge(horizontal, diagonal), 1)
    return np.ascontiguousarray(_interleave(*_merge(low, high), 2).transpose(1, 2, 0))


def _split(a: NDArray[np.int32], b: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    return (a + b) >> 1, a - b


def _merge(low: NDArray[np.int32], high: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    a = low + ((high + 1) >> 1)
    return a, a - high


def _interleave(a: NDArray[np.int32], b: NDArray[np.int32], axis: int) -> NDArray[np.int32]:
    shape = list(a.shape)
    shape[axis] *= 2
    return np.stack([a, b], axis=axis + 1).reshape(shape)
