"""The codec in torch: a frame's path, in one function per frame type.

Decisions (motion, activity, which integers) are the encoder's own, made with its own functions on the decoded
pictures; what is learned sits between them. Everything the decoder computes is a twin of the integer definition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from quaver.bitstream.record import FrameKind
from quaver.lab.models import bridge
from quaver.lab.models.networks import ContextualDecoder, ContextualEncoder, EntropyModel, LoopFilter
from quaver.lab.models.rate import coded_bits
from quaver.lab.twin import transform
from quaver.lab.twin.companding import expand
from quaver.lab.twin.rounding import clamp_ste, floor_ste, round_ste
from quaver.lab.twin.transform import Planes
from quaver.lab.twin.warp import compensate
from quaver.runtime.model import IntegerModel
from quaver.runtime.transform import CHANNELS

SIDE_INTRA, SIDE_INTER = 3, 5  # levels (2), quality; and vectors (2)
LATENT_LIMIT = float(1 << 18)


@dataclass(frozen=True)
class Preset:
    """Widths and depths; the decode cost is in MAC per pixel."""

    channels: int
    context: int
    entropy: int
    decoder: int
    encoder: int
    loop: int
    activation: str = "relu"


def nano(activation: str = "relu") -> Preset:
    return Preset(48, 1, 1, 2, 1, 12, activation)


def small(activation: str = "relu") -> Preset:
    return Preset(96, 2, 2, 4, 2, 24, activation)


def large(activation: str = "relu") -> Preset:
    return Preset(160, 3, 3, 6, 3, 40, activation)


PRESETS = {"nano": nano, "small": small, "large": large}


@dataclass(frozen=True)
class State:
    """What a batch of frames leaves for the next: pictures of 8-bit samples (with gradient) and what the integer
    codec keeps, per example."""

    picture: Planes
    kept: tuple[bridge.Kept, ...]

    def detached(self) -> State:
        y, u, v = (plane.detach() for plane in self.picture)
        return replace(self, picture=(y, u, v))


class FrameNetworks(nn.Module):
    """The networks of one frame type."""

    def __init__(self, preset: Preset, inputs: int) -> None:
        super().__init__()
        p = preset
        self.encoder = ContextualEncoder(p.channels, p.encoder, p.activation)
        self.entropy = EntropyModel(inputs, CHANNELS, p.channels, p.context, p.entropy, p.activation)
        self.decoder = ContextualDecoder(p.channels, p.decoder, p.activation)
        self.loop = LoopFilter(p.loop)


class Codec(nn.Module):
    """Intra and inter frames over one skeleton (steps, level tables, frequency tables)."""

    def __init__(self, preset: Preset, skeleton: IntegerModel) -> None:
        super().__init__()
        self.preset, self.skeleton = preset, skeleton
        self.intra = FrameNetworks(preset, CHANNELS + SIDE_INTRA)
        self.inter = FrameNetworks(preset, 2 * CHANNELS + SIDE_INTER)
        self.use_encoder = False
        self.lengths: Tensor
        self.steps: Tensor
        self.register_buffer("lengths", torch.from_numpy(skeleton.code_lengths), persistent=False)
        self.register_buffer("steps", torch.from_numpy(skeleton.steps).double(), persistent=False)

    def code_intra(self, frame: Planes, quality: Tensor) -> tuple[State, Tensor]:
        """A frame by itself. Returns the state and the bits (B,) of its coefficients, DC apart."""
        batch = bridge.intra(frame, quality, self.skeleton)
        return self._code(self.intra, FrameKind.INTRA, frame, batch, batch.prediction, quality)

    def code_inter(self, frame: Planes, past: State, quality: Tensor) -> tuple[State, Tensor]:
        """A frame from the past one. Returns the state and the bits (B,) of its coefficients."""
        batch = bridge.inter(frame, past.picture, past.kept, quality, self.skeleton)
        prediction = compensate(past.picture, batch.vectors)
        return self._code(self.inter, FrameKind.INTER, frame, batch, prediction, quality)

    def _code(
        self,
        nets: FrameNetworks,
        kind: FrameKind,
        frame: Planes,
        batch: bridge.Prepared,
        prediction: Planes,
        quality: Tensor,
    ) -> tuple[State, Tensor]:
        steps = self._channel_steps(quality)
        latents = transform.forward(_minus(_times16(frame), prediction)) / steps
        latents = latents.float()
        if self.use_encoder:
            correction = nets.encoder(batch.picture_planes, batch.prediction_planes, batch.quality_plane)
            latents = latents + correction.float() * bridge.coded_channels(kind)
        known = bridge.decide(batch, latents.detach(), quality, kind, self.skeleton)
        features, index, mean = nets.entropy(known.inputs)
        means = expand(64 * mean.float())
        indices = known.base_index + floor_ste((round_ste(64 * index.float()) + 4) / 8)
        symbols = bridge.quantize(latents.detach(), means.detach(), known.levels, kind)
        bits = coded_bits(latents, symbols, means / 64, indices, known, self.lengths, kind)
        mask = bridge.activity(symbols, batch, kind)
        means = means * known.coded_channels
        # Straight through the quantizer: the latents' gradient is that of what is decoded.
        decoded = 64 * symbols + mask * means + 64 * (latents - latents.detach())
        kept_latents = decoded.detach()
        correction = nets.decoder(bridge.companded(kept_latents), features).float()
        corrected = (decoded + mask * round_ste(64 * correction)).clamp(-LATENT_LIMIT, LATENT_LIMIT - 1)
        residual = transform.inverse(floor_ste((corrected * steps + 32) / 64))
        samples = _plus(prediction, residual)
        picture = self._loop(nets.loop, samples, prediction, mask, quality)
        return State(picture, bridge.keep(kept_latents, known, batch)), bits

    def _loop(self, loop: LoopFilter, samples: Planes, prediction: Planes, mask: Tensor, quality: Tensor) -> Planes:
        rounded, predicted = _eight_bits(samples), _eight_bits(prediction)
        inputs = [_to_half(rounded), _to_half(predicted)]
        plane = ((2.0 * (quality - 32)) / 64).float()[:, None, None, None].expand(-1, 1, *inputs[0].shape[-2:])
        correction = loop(torch.cat([*inputs, plane], 1))
        codes = round_ste(64 * correction.double())
        y, u, v = _from_half(codes)
        wide = mask[:, 0].repeat_interleave(8, 1).repeat_interleave(8, 2)
        narrow = mask[:, 0].repeat_interleave(4, 1).repeat_interleave(4, 2)
        step = self.steps[quality]
        luma, chroma = step[:, 0, None, None], step[:, 1, None, None]
        y = samples[0] + wide * floor_ste(y * luma / 256)
        u = samples[1] + narrow * floor_ste(u * chroma / 256)
        v = samples[2] + narrow * floor_ste(v * chroma / 256)
        return _eight_bits((y, u, v))

    def _channel_steps(self, quality: Tensor) -> Tensor:
        """(B, 96, 1, 1) steps with 4 fractional bits, float64."""
        step = self.steps[quality]
        return torch.cat([step[:, :1].expand(-1, 64), step[:, 1:].expand(-1, 32)], 1)[..., None, None]


def _times16(a: Planes) -> Planes:
    return 16 * a[0].double(), 16 * a[1].double(), 16 * a[2].double()


def _plus(a: Planes, b: Planes) -> Planes:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _minus(a: Planes, b: Planes) -> Planes:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _eight_bits(samples: tuple[Tensor, ...]) -> Planes:
    """4 fractional bits to 8-bit samples: the codec's one rounding."""
    y, u, v = (clamp_ste(floor_ste((plane.double() + 8) / 16), 0, 255) for plane in samples)
    return y, u, v


def _to_half(planes: Planes) -> Tensor:
    """8-bit planes to (B, 6, H/2, W/2) on the port grid."""
    y, u, v = planes
    phases = [y[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return ((torch.stack([*phases, u, v], 1) - 128) / 64).float()


def _from_half(planes: Tensor) -> Planes:
    batch, _, rows, columns = planes.shape
    y = planes[:, :4].reshape(batch, 2, 2, rows, columns).permute(0, 3, 1, 4, 2).reshape(batch, 2 * rows, -1)
    return y, planes[:, 4], planes[:, 5]
