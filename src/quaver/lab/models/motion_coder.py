"""A frame's motion around its networks: from estimated vectors to those that are coded, and their bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from quaver.codec.motion_coder import CLASSES, variation
from quaver.codec.symbol_coder import cheapest_tables
from quaver.lab.models import bridge
from quaver.lab.models.memory import Kept
from quaver.lab.models.motion import MotionDecoder, MotionEncoder, MotionEstimator
from quaver.lab.models.presets import Preset
from quaver.lab.models.rate import table_bits
from quaver.lab.models.skeleton import Skeleton
from quaver.lab.twin import haar, pyramid
from quaver.lab.twin.companding import expand
from quaver.lab.twin.rounding import clamp_ste, floor_ste, round_ste
from quaver.lab.twin.transform import Planes
from quaver.lab.twin.warp import compensate
from quaver.runtime import network_inputs
from quaver.runtime.haar import forward as haar_latents
from quaver.runtime.warp import VECTOR_LIMIT

# Bits that a correction should gain per latent and quarter sample. Near the search's choice gains are all but flat, and
# the straight-through gradient does not see that either way is uphill: noise would carry corrections over the rounding.
_DAMPING = 0.3


@dataclass(frozen=True)
class Motion:
    """What is coded and decoded: Haar latents (B, 4, 2, h16, w16) and the vectors (B, h8, w8, 2) they stand for, whole
    quarter samples; with gradient where the MotionEncoder is trained. rounded: (B,) what rounding took from the
    corrections, quarter samples in all."""

    latents: Tensor
    vectors: Tensor
    rounded: Tensor


class MotionCompensation(nn.Module):
    """The prediction (4 fractional bits) from the past picture."""

    def forward(self, reference: Planes, motion: Motion) -> Planes:
        return compensate(reference, motion.vectors)


class MotionCoder(MotionDecoder):
    """The decoder's networks of motion with the encoder's, and the fixed point that they correct."""

    def __init__(self, preset: Preset) -> None:
        p = preset
        super().__init__(p.motion, p.motion_blocks, p.activation)
        self.estimator = MotionEstimator(p.channels, p.estimator, p.activation)
        self.encoder = MotionEncoder(p.motion, p.motion_blocks, p.activation)

    def estimate(
        self, frame: Planes, past: Planes, last: Sequence[Kept], quality: Tensor, skeleton: Skeleton
    ) -> Tensor:
        """The MotionEstimator's vectors (B, h8, w8, 2), whole quarter samples."""
        steps = [skeleton.model.channel_steps(q) for q in quality.tolist()]
        picture, reference = (
            bridge.port(bridge.each(network_inputs.picture_planes, bridge.pictures(planes), steps))
            for planes in (frame, past)
        )
        vectors = bridge.port([network_inputs.vector_planes(kept.vectors) for kept in last])
        plane = ((quality - 32) / 32).float()[:, None, None, None].expand(-1, 1, *vectors.shape[-2:])
        out = self.estimator(picture, reference, vectors, plane)
        whole = floor_ste((expand(64 * out.float()) + 8) / 16)
        return clamp_ste(whole, -VECTOR_LIMIT, VECTOR_LIMIT).permute(0, 2, 3, 1)

    def forward(self, estimated: Tensor, last: Sequence[Kept], quality: Tensor, correct: bool) -> Motion:
        """What is coded of estimated vectors (B, h8, w8, 2); `correct`: with the MotionEncoder's corrections, but in
        areas that they would move beyond the limit."""
        latents = haar.forward(estimated)
        if not correct:
            return Motion(latents, estimated, torch.zeros(len(latents)))
        correction = self.encoder(_planes(latents), _past_planes(last, quality))
        moved = _in_quarters(correction).reshape(latents.shape)
        rounded = (expand(64 * correction.float()) / 64 - moved.detach().flatten(1, 2)).abs().sum((1, 2, 3))
        beyond = haar.inverse(latents + moved).detach().abs().amax(-1) > VECTOR_LIMIT
        legal = ~torch.stack([beyond[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]).any(0)
        latents = latents + moved * legal[:, None, None]
        return Motion(latents, haar.inverse(latents), rounded)

    def bits(self, motion: Motion, last: Sequence[Kept], quality: Tensor, skeleton: Skeleton) -> Tensor:
        """Bits (B,) of the vectors with the tables that the encoder would choose; what naming those costs is left
        out, it is the same for every frame. The gradient also damps corrections that rounding takes away."""
        past = _past_planes(last, quality)
        previous = torch.from_numpy(np.stack([haar_latents(kept.vectors)[0] for kept in last])).float()
        average, details = motion.latents[:, 0], motion.latents[:, 1:]
        residual = pyramid.residual(average, previous)
        index = self.average(past)
        bits = _bits(residual, residual, index, previous, skeleton)
        index, mean = self.detail(_planes(torch.stack([average, residual], 1)), past)
        mean = mean.reshape(details.shape)
        symbols, distance = details - _in_quarters(mean), details - expand(64 * mean.float()) / 64
        bits = bits + _bits(symbols, distance, index.reshape(details.shape), average, skeleton)
        return bits + _DAMPING * (motion.rounded - motion.rounded.detach())


def _bits(symbols: Tensor, distance: Tensor, index: Tensor, average: Tensor, skeleton: Skeleton) -> Tensor:
    """Bits (B,) of symbols (B, ..., 2, h16, w16) in the classes that `average` (B, 2, h16, w16) makes, with the
    cheapest tables after the corrections `index`. Slopes are those at |distance|."""
    codes = round_ste(64 * index.float())

    def tables(values: np.ndarray, corrections: np.ndarray, around: np.ndarray) -> np.ndarray:
        classes = np.broadcast_to(variation(around), values.shape)
        return cheapest_tables(skeleton.model, values, classes, CLASSES, corrections)[classes]

    arrays = [list(t.detach().numpy().astype(np.int32)) for t in (symbols, codes + 128, average)]
    base = torch.from_numpy(np.stack(bridge.each(tables, *arrays)))
    where = (base > 0).nonzero(as_tuple=True)
    indices = (base + floor_ste((codes + 4) / 8))[where]
    bits = table_bits(symbols[where].detach(), distance[where].abs(), indices, skeleton.lengths)
    return torch.zeros(len(symbols), dtype=bits.dtype).index_add(0, where[0], bits)


def _in_quarters(correction: Tensor) -> Tensor:
    """What a network's companded output stands for, in whole quarter samples."""
    return floor_ste((expand(64 * correction.float()) + 32) / 64)


def _planes(latents: Tensor) -> Tensor:
    """Port planes (B, 2n, h16, w16) of Haar latents or residuals (B, n, 2, h16, w16)."""
    return bridge.port([network_inputs.motion_planes(each) for each in latents.detach().numpy().astype(np.int32)])


def _past_planes(last: Sequence[Kept], quality: Tensor) -> Tensor:
    """Port planes (B, 11, h16, w16) of what is known of the past."""
    return bridge.port(
        [
            network_inputs.past_motion_planes(haar_latents(kept.vectors), kept.levels, q)
            for kept, q in zip(last, quality.tolist(), strict=True)
        ]
    )
