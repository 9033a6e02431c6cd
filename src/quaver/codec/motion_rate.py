"""An estimate of what motion vectors cost as Haar latents, for the encoder's choices. See frame_coder.code_vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.runtime import haar, pyramid

_SMALLEST = 0.02  # mean magnitude; a class without any motion still may get some
_LARGEST = 64  # a magnitude counts no more than this in a mean


@dataclass(frozen=True, slots=True, eq=False)
class MotionRate:
    """What both sides would expect around a field of vectors.

    predicted: (2, h16, w16) of the averages. means: (4, 1, h16, w16) mean magnitudes of the averages' residuals and
    of the three details, by the class of their surroundings.
    """

    predicted: NDArray[np.int32]
    means: NDArray[np.float32]

    @classmethod
    def around(cls, vectors: NDArray[np.int32], past_average: NDArray[np.int32]) -> MotionRate:
        """From vectors (h8, w8, 2) and the last frame's averages (2, h16, w16)."""
        latents = haar.forward(vectors)
        average = latents[0].copy()
        latents[0] = pyramid.residual(average, past_average)
        classes = _variation(average)
        magnitudes = np.minimum(np.abs(latents), _LARGEST).mean(1)
        averages, details = _class_means(magnitudes[0], classes), _class_means(magnitudes[1:].mean(0), classes)
        means = np.stack([averages, details, details, details])[:, None]
        return cls(average - latents[0], means)

    def bits(self, vectors: NDArray[np.int32]) -> NDArray[np.float32]:
        """(h16, w16) bits of each area of vectors (h8, w8, 2) where everything around stays as it is.

        Geometric distributions: P(0) = 1 / (1 + mean), each further step costs the same; a sign is one bit.
        """
        latents = haar.forward(vectors)
        latents[0] -= self.predicted
        magnitudes = np.abs(latents).astype(np.float32)
        zero = np.log2(1 + self.means)
        step = zero - np.log2(self.means)
        far = 4 * np.log2(1 + magnitudes) + step  # other tables would be chosen, or escapes
        bits: NDArray[np.float32] = zero + np.minimum(magnitudes * step, far) + (magnitudes > 0)
        return bits.sum((0, 1))


def _variation(average: NDArray[np.int32]) -> NDArray[np.intp]:
    """Class 0..3 of each area by how much its neighbours' averages differ from it, as the codec forms it."""
    down = np.abs(np.diff(average, axis=1, append=average[:, -1:]))
    right = np.abs(np.diff(average, axis=2, append=average[:, :, -1:]))
    change = down + right
    change[:, 1:] += down[:, :-1]
    change[:, :, 1:] += right[:, :, :-1]
    return np.searchsorted(np.array([1, 9, 41]), change.sum(0), side="right")


def _class_means(values: NDArray[np.floating], classes: NDArray[np.intp]) -> NDArray[np.float32]:
    """Each position's class mean of `values` (h16, w16)."""
    total = np.bincount(classes.ravel(), values.ravel(), 4)
    count = np.bincount(classes.ravel(), minlength=4)
    return np.maximum(total / np.maximum(count, 1), _SMALLEST)[classes].astype(np.float32)
