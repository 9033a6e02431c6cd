"""Patch bits in training: a twin of `quaver.runtime.patches` with straight-through gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from quaver.codec.coefficients import Levels
from quaver.lab.models.bridge import each, pictures, vectors_of
from quaver.lab.models.sites import PORT_SCALE
from quaver.lab.twin.transform import Planes
from quaver.runtime import patches
from quaver.runtime.patches import FULL, NETWORKS, SIDE, PatchTable


@dataclass(frozen=True)
class PatchBits:
    """Of a batch of frames, bits (B, 3, patch rows, patch columns) for each of NETWORKS; None: 8 everywhere."""

    bits: Tensor | None = None

    def read(self, network: str, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """Port values (B, C, h, w) as `network` reads them; `scale`: () or (C,), of a port that has its own. With 8
        bits they stay as they are: on the grid already, or in floating point what they are without patches."""
        if self.bits is None:
            return x
        bits, unit = self._of(network, x), torch.tensor(PORT_SCALE)
        if scale is not None:
            unit = scale.detach()[:, None, None] if scale.ndim else scale.detach()
        codes, step = torch.round(x.detach().float() / unit), 2.0 ** (FULL - bits)
        rounded = unit * torch.minimum(step * torch.floor(codes / step + 0.5), 128 - step)
        straight = x.float() + (rounded - x.detach().float())
        return torch.where(bits == FULL, x.float(), straight) * (bits > 0)

    def result(self, network: str, y: Tensor) -> Tensor:
        """Its outputs (B, C, h, w): nothing where it reads 0 bits."""
        return y if self.bits is None else y * (self._of(network, y) > 0)

    def _of(self, network: str, x: Tensor) -> Tensor:
        """(B, 1, h, w)"""
        assert self.bits is not None
        number = NETWORKS.index(network)
        side = 4 * SIDE if network == "inter.loop" else SIDE
        wide = self.bits[:, number : number + 1].repeat_interleave(side, 2).repeat_interleave(side, 3)
        return wide[..., : x.shape[-2], : x.shape[-1]]


WHOLE = PatchBits()
ByLevels = Callable[[tuple[Levels, ...]], PatchBits]  # levels are the last that the classes of patches depend on


def by_levels(table: PatchTable | None, past: Planes, prediction: Planes, vectors: Tensor) -> ByLevels:
    """past: 8-bit samples; prediction: 4 fractional bits; vectors (B, h8, w8, 2)."""

    def classify(levels: tuple[Levels, ...]) -> PatchBits:
        if table is None:
            return WHOLE
        luma = list(prediction[0].detach().numpy().astype(np.int32))
        bits = each(
            lambda picture, *known: patches.patch_bits(table, picture.y, *known),
            pictures(past),
            luma,
            list(vectors_of(vectors)),
            list(levels),
        )
        return PatchBits(torch.from_numpy(np.stack(bits)).float())

    return classify
