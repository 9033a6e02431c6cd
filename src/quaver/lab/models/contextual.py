"""One frame type's networks, and the fixed point that they correct: from a prediction to latents, bits and picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quaver.bitstream.record import FrameKind
from quaver.codec.coefficients import Levels
from quaver.lab.models import bridge
from quaver.lab.models.bridge import Seen
from quaver.lab.models.networks import ContextualDecoder, ContextualEncoder, EntropyModel, LoopFilter
from quaver.lab.models.patches import WHOLE, ByLevels, PatchBits
from quaver.lab.models.presets import Preset
from quaver.lab.models.rate import coded_bits
from quaver.lab.models.skeleton import Skeleton, eight_bits, minus, plus, sixteenths
from quaver.lab.twin import transform
from quaver.lab.twin.companding import expand
from quaver.lab.twin.rounding import floor_ste, round_ste
from quaver.lab.twin.transform import Planes
from quaver.runtime.transform import CHANNELS

LATENT_LIMIT = float(1 << 18)


@dataclass(frozen=True)
class Coded:
    """What the entropy model makes of latents. symbols, means (B, 96, h8, w8), these with 6 fractional bits;
    features (B, C, h8, w8) for the contextual decoder; bits (B,) of the symbols, intra DC apart; known (B, 96, h8, w8),
    1 where a symbol depends on its latent at all; patches: what networks read of each patch."""

    latents: Tensor
    symbols: Tensor
    known: Tensor
    means: Tensor
    features: Tensor
    levels: tuple[Levels, ...]
    bits: Tensor
    patches: PatchBits

    def decoded(self, active: Tensor) -> Tensor:
        """Latents as both sides have them, 6 fractional bits; straight through the quantizer where one is coded. What
        lies in areas of level 0 must not feel a slope: the encoder would learn to wake them up, and pay for it."""
        straight = self.known * (self.latents - self.latents.detach())
        return 64 * self.symbols + active * self.means + 64 * straight


class FrameCodec(nn.Module):
    """The steps of a frame's path after its prediction."""

    def __init__(self, preset: Preset, kind: FrameKind, inputs: int) -> None:
        super().__init__()
        p = preset
        self.kind = kind
        self.encoder = ContextualEncoder(p.channels, p.encoder, p.activation)
        self.entropy = EntropyModel(inputs, CHANNELS, p.channels, p.context, p.entropy, p.activation)
        self.decoder = ContextualDecoder(p.channels, p.decoder, p.activation)
        self.loop = LoopFilter(p.loop)

    def analyse(
        self, frame: Planes, prediction: Planes, seen: Seen, steps: Tensor, correct: bool
    ) -> tuple[Tensor, Tensor]:
        """The prediction error and the latents that stand for it, (B, 96, h8, w8) in steps (B, 96, 1, 1); they differ
        with `correct`, by the contextual encoder's corrections."""
        error = (transform.forward(minus(sixteenths(frame), prediction)) / steps).float()
        if not correct:
            return error, error
        correction = self.encoder(seen.picture, seen.prediction, seen.quality)
        return error, error + correction.float() * bridge.coded_channels(self.kind)

    def code(
        self,
        error: Tensor,
        latents: Tensor,
        seen: Seen,
        memory: Tensor | None,
        past: tuple[Levels | None, ...],
        quality: Tensor,
        skeleton: Skeleton,
        classify: ByLevels = lambda _: WHOLE,
    ) -> Coded:
        """Levels, then entropy parameters from what both sides know, then symbols. `past`: the last levels. `classify`:
        bits of patches."""
        levels, base = bridge.choose_levels(latents, error, quality, self.kind, skeleton.model, past)
        known = [seen.prediction, bridge.level_planes(levels)] + ([memory] if memory is not None else [])
        patches = classify(levels)
        read = patches.read("inter.entropy", torch.cat([*known, seen.quality], 1))
        features, index, mean = (patches.result("inter.entropy", y) for y in self.entropy(read))
        means = expand(64 * mean.float())
        indices = base + floor_ste((round_ste(64 * index.float()) + 4) / 8)
        symbols = bridge.quantize(latents, means, levels, self.kind)
        channels = bridge.coded_channels(self.kind)
        coded = (base > 0) & (channels > 0)
        bits = coded_bits(latents, symbols, means / 64, indices, coded, skeleton.lengths)
        return Coded(latents, symbols, (base > 0).double(), means * channels, features, levels, bits, patches)

    def synthesise(self, decoded: Tensor, coded: Coded, active: Tensor, steps: Tensor) -> Planes:
        """The residual (4 fractional bits) of decoded latents, corrected where `active`."""
        stored, patches = self.entropy.context.stream, coded.patches
        latents = patches.read("inter.decoder", bridge.companded(decoded))
        features = patches.read("inter.decoder", coded.features, stored.steps())
        correction = patches.result("inter.decoder", self.decoder(latents, features, stored)).float()
        corrected = (decoded + active * round_ste(64 * correction)).clamp(-LATENT_LIMIT, LATENT_LIMIT - 1)
        return transform.inverse(floor_ste((corrected * steps + 32) / 64))

    def restore(
        self, prediction: Planes, residual: Planes, coded: Coded, active: Tensor, quality: Tensor, steps: Tensor
    ) -> Planes:
        """The picture: loop-filtered where `active`, rounded once."""
        samples = plus(prediction, residual)
        inputs = [_to_half(eight_bits(samples)), _to_half(eight_bits(prediction))]
        plane = ((2.0 * (quality - 32)) / 64).float()[:, None, None, None].expand(-1, 1, *inputs[0].shape[-2:])
        read = coded.patches.read("inter.loop", torch.cat([*inputs, plane], 1))
        correction = coded.patches.result("inter.loop", self.loop(read))
        y, u, v = _from_half(round_ste(64 * correction.double()))
        wide = active[:, 0].repeat_interleave(8, 1).repeat_interleave(8, 2)
        narrow = active[:, 0].repeat_interleave(4, 1).repeat_interleave(4, 2)
        luma, chroma = steps[:, 0], steps[:, 64]
        y = samples[0] + wide * floor_ste(y * luma / 256)
        u = samples[1] + narrow * floor_ste(u * chroma / 256)
        v = samples[2] + narrow * floor_ste(v * chroma / 256)
        return eight_bits((y, u, v))


class IntraCodec(FrameCodec):
    """Frames by themselves: a grey prediction, and context from a smooth picture through the DC symbols."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset, FrameKind.INTRA, CHANNELS + 3)  # levels (2) and quality

    def forward(self, frame: Planes, quality: Tensor, skeleton: Skeleton, correct: bool) -> tuple[Planes, Coded]:
        """The decoded picture, and what was coded."""
        steps = skeleton.channel_steps(quality)
        prediction = bridge.grey(frame)
        seen = bridge.see_intra(frame, quality, skeleton.model)
        error, latents = self.analyse(frame, prediction, seen, steps, correct)
        coded = self.code(error, latents, seen, None, (None,) * len(quality), quality, skeleton)
        active = torch.ones_like(coded.symbols[:, :1])
        residual = self.synthesise(coded.decoded(active), coded, active, steps)
        return self.restore(prediction, residual, coded, active, quality, steps), coded


def _to_half(planes: Planes) -> Tensor:
    """8-bit planes to (B, 6, H/2, W/2) on the port grid."""
    y, u, v = planes
    phases = [y[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return ((torch.stack([*phases, u, v], 1) - 128) / 64).float()


def _from_half(planes: Tensor) -> Planes:
    batch, _, rows, columns = planes.shape
    y = planes[:, :4].reshape(batch, 2, 2, rows, columns).permute(0, 3, 1, 4, 2).reshape(batch, 2 * rows, -1)
    return y, planes[:, 4], planes[:, 5]
