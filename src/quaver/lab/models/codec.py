"""The codec in torch: a frame's path, in one function per frame type.

Decisions (motion, activity, which integers) are the encoder's own, made with its own functions on the decoded
pictures; what is learned sits between them. Everything the decoder computes is a twin of the integer definition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from quaver.bitstream.record import FrameKind
from quaver.lab.models import bridge
from quaver.lab.models.contextual import FrameCodec, IntraCodec
from quaver.lab.models.memory import FeatureMemory, Kept
from quaver.lab.models.motion_coder import MotionCoder, MotionCompensation
from quaver.lab.models.patches import by_levels
from quaver.lab.models.presets import PRESETS, Preset
from quaver.lab.models.skeleton import Skeleton
from quaver.lab.quant.plan import QuantPlan
from quaver.lab.twin.transform import Planes
from quaver.runtime.model import IntegerModel
from quaver.runtime.patches import PatchTable
from quaver.runtime.transform import CHANNELS

__all__ = ["PRESETS", "Codec", "Preset", "State"]


@dataclass(frozen=True)
class State:
    """What a batch of frames leaves for the next: pictures of 8-bit samples (with gradient) and what the integer
    codec keeps, per example."""

    picture: Planes
    kept: tuple[Kept, ...]

    def detached(self) -> State:
        y, u, v = (plane.detach() for plane in self.picture)
        return replace(self, picture=(y, u, v))


class Codec(nn.Module):
    """Intra and inter frames over one skeleton (steps, level tables, frequency tables).

    ``use_encoder``: whether the encoder's networks correct motion and latents. ``estimator``: what finds motion, as
    `quaver.codec.motion_estimator` names it. ``count_motion``: whether bits hold
    those of vectors, which costs the motion decoder's networks; a picture does not depend on them. ``plan``: the
    precision that `precision.shape_for` gave it; None in floating point. ``patches``: bits of patches, in either
    arithmetic.
    """

    def __init__(self, preset: Preset, skeleton: IntegerModel) -> None:
        super().__init__()
        self.preset, self.skeleton = preset, skeleton
        self.tables = Skeleton(skeleton)
        self.intra = IntraCodec(preset)
        self.inter = FrameCodec(preset, FrameKind.INTER, 2 * CHANNELS + 5)  # levels (2), vectors (2), quality
        self.compensate = MotionCompensation()
        self.memory = FeatureMemory()
        self.motion = MotionCoder(preset)
        self.use_encoder = self.count_motion = False
        self.estimator = "search"
        self.plan: QuantPlan | None = None
        self.patches: PatchTable | None = None

    def code_intra(self, frame: Planes, quality: Tensor) -> tuple[State, Tensor]:
        """A frame by itself. Returns the state and the bits (B,) of its coefficients, DC apart."""
        picture, coded = self.intra(frame, quality, self.tables, self.use_encoder)
        still = coded.symbols.new_zeros(len(quality), *coded.symbols.shape[2:], 2)
        # An intra frame's latents are of another kind and not handed on.
        return State(picture, self.memory.keep(still, coded.symbols * 0, coded.levels)), coded.bits

    def code_inter(self, frame: Planes, past: State, quality: Tensor) -> tuple[State, Tensor]:
        """A frame from the past one. Returns the state and the bits (B,) of its coefficients and, where they count, of
        its vectors."""
        steps = self.tables.channel_steps(quality)
        estimated = self.estimate_motion(frame, past, quality)
        motion = self.motion(estimated, past.kept, quality, self.use_encoder)
        prediction = self.compensate(past.picture, motion)
        memory = self.memory(past.kept, motion.vectors)
        seen = bridge.see_inter(frame, prediction, quality, self.skeleton)
        error, latents = self.inter.analyse(frame, prediction, seen, steps, self.use_encoder)
        last = tuple(kept.levels for kept in past.kept)
        classify = by_levels(self.patches, past.picture, prediction, motion.vectors)
        coded = self.inter.code(error, latents, seen, memory, last, quality, self.tables, classify)
        active = bridge.activity(coded.symbols, motion.vectors)
        decoded = coded.decoded(active)
        residual = self.inter.synthesise(decoded, coded, active, steps)
        picture = self.inter.restore(prediction, residual, coded, active, quality, steps)
        bits = coded.bits
        if self.count_motion:
            bits = bits + self.motion.bits(motion, past.kept, quality, self.tables)
        return State(picture, self.memory.keep(motion.vectors, decoded, coded.levels)), bits

    def repeat(self, past: State) -> State:
        """The past picture once more: nothing moves and nothing is coded, so that nothing is corrected."""
        return replace(past, kept=tuple(kept.at_rest() for kept in past.kept))

    def estimate_motion(self, frame: Planes, past: State, quality: Tensor) -> Tensor:
        """Vectors (B, h8, w8, 2) by the block search, the MotionEstimator or the search that begins there."""
        last = [kept.vectors for kept in past.kept]
        if self.estimator == "search":
            return bridge.search(frame, past.picture, last, quality)
        guess = self.motion.estimate(frame, past.picture, past.kept, quality, self.tables)
        return guess if self.estimator == "network" else bridge.search(frame, past.picture, last, quality, guess)
