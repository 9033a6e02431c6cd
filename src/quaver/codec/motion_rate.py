"""An estimate of what motion vectors cost as Haar latents, for the encoder's choices. See motion_coder.code_vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.runtime import haar, native, pyramid

_SMALLEST = 0.02  # mean magnitude; a class without any motion still may get some
_LARGEST = 64  # a magnitude counts no more than this in a mean
_MAGNITUDES = np.arange(256, dtype=np.float32)  # larger ones cost as much as the last
_SIZES = 4 * np.log2(1 + _MAGNITUDES)


@dataclass(frozen=True, slots=True, eq=False)
class MotionRate:
    """What both sides would expect around a field of vectors.

    predicted: (2, h16, w16) of the averages. classes: (h16, w16) 0..3 by how much surroundings vary. lengths:
    (2, 4, 256) bits of a magnitude of the averages' residuals and of the details, in each class.
    """

    predicted: NDArray[np.int32]
    classes: NDArray[np.uint8]
    lengths: NDArray[np.float32]

    @classmethod
    def around(cls, vectors: NDArray[np.int16], past_average: NDArray[np.int32]) -> MotionRate:
        """From vectors (h8, w8, 2) and the last frame's averages (2, h16, w16)."""
        if native.kernels is not None:
            predicted = np.empty(past_average.shape, np.int32)
            classes, totals = np.empty(past_average.shape[1:], np.uint8), np.empty((3, 4), np.int64)
            native.kernels.motion_statistics(vectors, past_average, predicted, classes, totals)
        else:
            predicted, classes, totals = _statistics(vectors, past_average)
        return cls(predicted, classes, _lengths(totals))

    def bits(self, vectors: NDArray[np.int16]) -> NDArray[np.float32]:
        """(h16, w16) bits of each area of vectors (h8, w8, 2) where everything around stays as it is."""
        latents = haar.forward(vectors)
        latents[0] -= self.predicted
        magnitudes = np.minimum(np.abs(latents), len(_MAGNITUDES) - 1)
        total = np.zeros(self.classes.shape, np.float32)
        for number, component in np.ndindex(4, 2):
            total += self.lengths[min(number, 1)][self.classes, magnitudes[number, component]]
        return total


def _statistics(
    vectors: NDArray[np.int16], past_average: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.int64]]:
    """Predicted averages, classes, and (3, 4) by class: summed magnitudes of the averages' residuals, of details, and
    the number of areas."""
    latents = haar.forward(vectors)
    average = latents[0].copy()
    latents[0] = pyramid.residual(average, past_average)
    classes = _variation(average)
    magnitudes = np.minimum(np.abs(latents), _LARGEST)
    parts = magnitudes[0].sum(0), magnitudes[1:].sum((0, 1)), np.ones(classes.shape)
    totals = [np.bincount(classes.ravel(), part.ravel(), 4) for part in parts]
    return average - latents[0], classes, np.array(totals).astype(np.int64)


def _lengths(totals: NDArray[np.int64]) -> NDArray[np.float32]:
    """Geometric distributions: P(0) = 1 / (1 + mean), each further step costs the same; a sign is one bit."""
    means = np.maximum(totals[:2] / np.maximum(totals[2] * [[2], [6]], 1), _SMALLEST).astype(np.float32)[..., None]
    zero = np.log2(1 + means)
    step = zero - np.log2(means)
    # Where that is more than a logarithm, other tables would be chosen, or escapes.
    return zero + np.minimum(_MAGNITUDES * step, _SIZES + step) + (_MAGNITUDES > 0)


def _variation(average: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Class 0..3 of each area by how much its neighbours' averages differ from it, as the codec forms it."""
    down = np.abs(np.diff(average, axis=1, append=average[:, -1:]))
    right = np.abs(np.diff(average, axis=2, append=average[:, :, -1:]))
    change = down + right
    change[:, 1:] += down[:, :-1]
    change[:, :, 1:] += right[:, :, :-1]
    return np.searchsorted(np.array([1, 9, 41]), change.sum(0), side="right").astype(np.uint8)
