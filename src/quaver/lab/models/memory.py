"""What recirculates beside the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from quaver.codec.coefficients import Levels
from quaver.lab.models.bridge import Vectors, each, port, vectors_of
from quaver.runtime import network_inputs
from quaver.runtime.companding import compand


@dataclass(frozen=True)
class Kept:
    """What the integer codec keeps of one example's last frame, beside the picture."""

    vectors: Vectors
    latents: NDArray[np.int32]
    levels: Levels

    def at_rest(self) -> Kept:
        """After a frame without motion, latents and levels."""
        return Kept(np.zeros_like(self.vectors), np.zeros_like(self.latents), np.zeros_like(self.levels))


class FeatureMemory(nn.Module):
    """Latents, levels and vectors of the last frame. No learned features yet: K = 0 slots, which cost nothing."""

    def forward(self, past: Sequence[Kept], vectors: Tensor) -> Tensor:
        """Planes (B, 96 + 2, h8, w8): the last latents carried along the vectors, and the vectors."""

        def one(last: Kept, moved: Vectors) -> NDArray[np.uint8]:
            carried = compand(network_inputs.carry_latents(last.latents, moved))
            return np.concatenate([carried, network_inputs.vector_planes(moved)])

        return port(each(one, list(past), list(vectors_of(vectors))))

    def keep(self, vectors: Tensor, latents: Tensor, levels: Sequence[Levels]) -> tuple[Kept, ...]:
        """For the next frame: vectors (B, h8, w8, 2), latents (B, 96, h8, w8) with 6 fractional bits, levels."""
        parts = zip(vectors_of(vectors), latents.detach().numpy().astype(np.int32), levels, strict=True)
        return tuple(Kept(*part) for part in parts)
