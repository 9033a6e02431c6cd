"""A frame's path, both directions: what the decoder does with symbols, and in which order they are coded.

Encoder and decoder call the same functions; the encoder passes the symbols it has chosen, the decoder None.
An inter frame begins with its motion: `motion_coder`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quaver.bitstream.record import FrameKind
from quaver.codec.coefficients import DC_CHANNELS, Levels, code_dc, code_levels, table_indices, without_dc
from quaver.codec.networks import Engine, FrameNetworks
from quaver.codec.symbol_coder import SymbolCoder, Symbols, corrected_indices
from quaver.runtime import network_inputs, transform
from quaver.runtime.activity import Mask, activity_mask
from quaver.runtime.companding import expand
from quaver.runtime.executors.patches import PatchRunner
from quaver.runtime.model import IntegerModel
from quaver.runtime.network_inputs import Latents
from quaver.runtime.patches import SIDE, patch_bits
from quaver.runtime.picture import Picture, Plane
from quaver.runtime.transform import Planes
from quaver.runtime.warp import compensate

LATENT_LIMIT = 1 << 18  # of latents with 6 fractional bits: the product with a step fits 32 bits
_NO_MEANS = np.zeros((1, 1, 1), np.int32)

Vectors = NDArray[np.int16]  # (h8, w8, 2): dx, dy in quarter luma samples


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a frame leaves for the next one. ``latents``: (96, h8, w8) in steps, 6 fractional bits, zero after an
    intra frame."""

    picture: Picture
    vectors: Vectors
    levels: Levels
    latents: Latents


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The encoder's decisions about a frame: levels (2, h8/2, w8/2), and symbols once the means are known.

    ``quantize`` takes means (96, h8, w8) in steps and gives symbols (96, h8, w8).
    """

    levels: Levels
    quantize: Callable[[NDArray[np.float32]], Symbols]
    dc: Symbols | None = None  # (3, h8, w8), intra frames


def predict(past: State, vectors: Vectors) -> Planes:
    """The motion-compensated prediction, 4 fractional bits."""
    return compensate(past.picture, vectors)


def code_inter(
    coder: SymbolCoder,
    engine: Engine,
    chosen: Chosen | None,
    prediction: Planes,
    vectors: Vectors,
    past: State,
    quality: int,
) -> State:
    """Levels and coefficients of an inter frame, and the picture they make on top of `prediction`."""
    shape = past.picture.blocks
    levels = code_levels(coder, chosen.levels if chosen else None, past.levels, (shape[0] // 2, shape[1] // 2))
    networks = _inter_networks(engine, prediction, vectors, levels, past)
    base = table_indices(levels, engine.model.inter_levels)
    steps = engine.model.channel_steps(quality)
    if networks is None:
        indices, means, features = base, _NO_MEANS, None
    else:
        known = [
            network_inputs.coefficient_planes(prediction, steps),
            network_inputs.level_planes(levels),
            network_inputs.latent_planes(network_inputs.carry_latents(past.latents, vectors)),
            network_inputs.vector_planes(vectors),
            network_inputs.quality_plane(quality, shape),
        ]
        features, index, mean = networks.entropy(np.concatenate(known))
        indices, means = corrected_indices(base, index, engine.model), expand(mean)
    symbols = coder.code(chosen.quantize((means / 64).astype(np.float32)) if chosen else None, indices)
    mask = activity_mask(symbols, vectors)
    latents = 64 * symbols + mask * means
    picture = reconstruct(engine.model, networks, features, prediction, latents, mask, quality)
    return State(picture, vectors, levels, latents)


def _inter_networks(
    engine: Engine, prediction: Planes, vectors: Vectors, levels: Levels, past: State
) -> FrameNetworks | None:
    """The networks of an inter frame, each reading patches with the bits that the model's table has for them."""
    networks, table, graphs = engine.networks[FrameKind.INTER], engine.model.patches, engine.model.graphs
    if networks is None or table is None:
        return networks
    entropy, decoder, loop = patch_bits(table, past.picture.y, prediction[0], vectors, levels)
    return replace(
        networks,
        entropy_runner=PatchRunner(networks.entropy_runner, graphs["inter.entropy"], entropy, SIDE),
        decoder_runner=PatchRunner(networks.decoder_runner, graphs["inter.decoder"], decoder, SIDE),
        loop_runner=PatchRunner(networks.loop_runner, graphs["inter.loop"], loop, 4 * SIDE),
    )


def code_intra(
    coder: SymbolCoder, engine: Engine, chosen: Chosen | None, shape: tuple[int, int], quality: int
) -> State:
    """A frame by itself; `shape` is (h8, w8)."""
    dc = np.clip(code_dc(coder, chosen.dc if chosen else None, shape), -32768, 32767)
    levels = code_levels(coder, chosen.levels if chosen else None, None, (shape[0] // 2, shape[1] // 2))
    networks = engine.networks[FrameKind.INTRA]
    base = table_indices(levels, engine.model.intra_levels)
    steps = engine.model.channel_steps(quality)
    if networks is None:
        indices, means, features = base, _NO_MEANS, None
    else:
        smooth = network_inputs.smooth_from_dc(dc, steps[DC_CHANNELS, 0, 0])
        known = [
            network_inputs.coefficient_planes(smooth, steps),
            network_inputs.level_planes(levels),
            network_inputs.quality_plane(quality, shape),
        ]
        features, index, mean = networks.entropy(np.concatenate(known))
        indices, means = corrected_indices(base, index, engine.model), expand(mean)
        means[DC_CHANNELS] = 0
    indices[DC_CHANNELS] = 0
    symbols = coder.code(
        without_dc(chosen.quantize((means / 64).astype(np.float32))) if chosen else None, indices
    ).copy()
    symbols[DC_CHANNELS] = dc
    latents = 64 * symbols + means
    mask = np.ones(shape, np.int32)
    picture = reconstruct(engine.model, networks, features, grey(shape), latents, mask, quality)
    return State(picture, np.zeros((*shape, 2), np.int16), levels, np.zeros_like(latents))


def grey(shape: tuple[int, int]) -> Planes:
    """The prediction of an intra frame: 128 everywhere."""
    height, width = 8 * shape[0], 8 * shape[1]
    luma, chroma = np.full((height, width), 128 << 4, np.int32), np.full((height // 2, width // 2), 128 << 4)
    return luma, chroma.astype(np.int32), chroma.astype(np.int32)


def reconstruct(
    model: IntegerModel,
    networks: FrameNetworks | None,
    features: NDArray[np.uint8] | None,
    prediction: Planes,
    latents: Latents,
    mask: Mask,
    quality: int,
) -> Picture:
    """clamp8(round(prediction + inverse transform(step * (latents + correction)) + loop correction)); one rounding
    to 8 bits, at the end. Where `mask` is 0 the corrections are."""
    steps = model.channel_steps(quality)
    if networks is not None and features is not None:
        correction = networks.decode(network_inputs.latent_planes(latents), features)
        latents = latents + mask * (correction.astype(np.int32) - 128)
    scaled = (np.clip(latents, -LATENT_LIMIT, LATENT_LIMIT - 1) * steps + 32) >> 6
    residual = transform.inverse(scaled)
    samples = [p + r for p, r in zip(prediction, residual, strict=True)]
    if networks is not None:
        rounded, predicted = (network_inputs.sample_planes(*_eight_bits(planes)) for planes in (samples, prediction))
        plane = network_inputs.quality_plane(quality, rounded.shape[1:])
        correction = networks.loop(np.concatenate([rounded, predicted, plane]))
        for index, part in enumerate(network_inputs.from_sample_planes(correction)):
            size, step = (8, steps[0]) if index == 0 else (4, steps[64])
            wide = mask.repeat(size, 0).repeat(size, 1)
            samples[index] = samples[index] + wide * (((part.astype(np.int32) - 128) * step) >> 8)
    return Picture(*_eight_bits(samples))


def _eight_bits(samples: Sequence[NDArray[np.int32]]) -> list[Plane]:
    return [np.clip((plane + 8) >> 4, 0, 255).astype(np.uint8) for plane in samples]
