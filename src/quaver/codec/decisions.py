"""What the encoder decides about a frame's coefficients: where anything is coded at all, and which integers.

Training makes the same decisions with the same functions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quaver.bitstream.record import FrameKind
from quaver.codec.coefficients import DC_CHANNELS, PLANES, Levels, level_bits, without_dc
from quaver.codec.symbol_coder import Symbols
from quaver.runtime import native, pyramid, transform
from quaver.runtime.model import QUALITIES, IntegerModel
from quaver.runtime.picture import Picture
from quaver.runtime.transform import Planes

Scaled = NDArray[np.float32]  # (96, h8, w8) coefficients in quantization steps

# Share of a step below which a coefficient is rounded towards zero; Laplacian sources gain rate from it.
ROUNDING = {FrameKind.INTRA: 0.40, FrameKind.INTER: 0.25}
INTRA_BONUS = 12  # of quality; costs little in 32 frames and every one of them gains
# After so many frames what the intra frame brought has faded: all are coded better, every eighth as well as it was.
LATE, LATE_BONUS, REFRESH = 32, 6, 8
MOTION_BIT = 2.5  # squared error that one motion bit must save, times lambda
AREA_BITS = 2.0  # what coding an area costs beside its coefficients and its level
LEVEL_BITS = 2.0  # a level at distance d from its prediction costs LEVEL_BITS * log2(1 + d)


def lagrangian(quality: int) -> float:
    """lambda of J = R + lambda * D: bits per luma sample that one unit of squared error is worth."""
    return float(0.001 * 300 ** (quality / (QUALITIES - 1)))


def intra_quality(quality: int) -> int:
    """What an intra frame is coded with: better, since the frames after it inherit what it has."""
    return min(QUALITIES - 1, quality + INTRA_BONUS)


def inter_quality(quality: int, since_intra: int) -> int:
    """What the inter frame `since_intra` frames after an intra frame is coded with (decision 0013)."""
    if since_intra < LATE:
        return quality
    return min(QUALITIES - 1, quality + (INTRA_BONUS if since_intra % REFRESH == 0 else LATE_BONUS))


def cost(picture: Picture, coded: Picture, size: int, quality: int) -> float:
    """J in bits of `coded`, `size` bytes, for `picture`; D = (6 MSE_Y + MSE_U + MSE_V) / 8 per luma sample."""
    y, u, v = (
        float(np.square(getattr(picture, name).astype(np.int32) - getattr(coded, name)).sum(dtype=np.int64))
        for name in "yuv"
    )
    return 8 * size + lagrangian(quality) * (0.75 * y + 0.5 * (u + v))


def motion_bit_cost(quality: int) -> float:
    """The squared error of a block that one bit of motion must save."""
    return MOTION_BIT / lagrangian(quality)


def analyse(picture: Picture, prediction: Planes, model: IntegerModel, quality: int) -> Scaled:
    """The prediction error's coefficients in steps."""
    samples = (plane.astype(np.int32) << 4 for plane in (picture.y, picture.u, picture.v))
    y, u, v = (s - p for s, p in zip(samples, prediction, strict=True))
    steps = model.channel_steps(quality).astype(np.float32)
    return transform.forward((y, u, v)).astype(np.float32) / steps


def quantize(scaled: Scaled, means: NDArray[np.float32] | float, levels: Levels, kind: FrameKind) -> Symbols:
    """Symbols around `means` (in steps) with a dead zone; zero in areas of level 0, except intra DC."""
    offsets = np.full((1, 1, 1), means, np.float32) if isinstance(means, float) else means
    if native.kernels is not None:
        symbols, scaled = np.empty(scaled.shape, np.int32), np.ascontiguousarray(scaled)
        offsets, active = np.ascontiguousarray(offsets), np.ascontiguousarray(levels)
        native.kernels.quantize(scaled, offsets, active, ROUNDING[kind], symbols)
    else:
        distance = scaled - offsets
        magnitudes = np.minimum(np.abs(distance) + np.float32(ROUNDING[kind]), np.float32(32767)).astype(np.int32)
        symbols = np.where(distance < 0, -magnitudes, magnitudes)
        for plane, channels in zip(levels, PLANES, strict=True):
            symbols[channels] *= (plane > 0).repeat(2, 0).repeat(2, 1)
    if kind == FrameKind.INTRA:
        symbols[DC_CHANNELS] = np.clip(np.rint(scaled[DC_CHANNELS]), -32768, 32767).astype(np.int32)
    return symbols


def choose_activity(
    scaled: Scaled,
    model: IntegerModel,
    quality: int,
    kind: FrameKind,
    past: Levels | None = None,
    error: Scaled | None = None,
) -> Levels:
    """The activity levels (2, h16, w16) with the least cost, levels included; `past` are those of the frame before.
    In inter frames areas that are cheaper left alone get level 0; what coding saves is judged by `error`, the
    prediction error itself, where `scaled` is what the encoder's network made of it."""
    everywhere = np.ones((2, scaled.shape[1] // 2, scaled.shape[2] // 2), np.int32)
    symbols = quantize(scaled, 0.0, everywhere, kind)
    if kind == FrameKind.INTRA:
        costs = level_bits(without_dc(symbols), model.intra_levels, model)
    else:
        costs = level_bits(symbols, model.inter_levels, model)
        costs[:, 0] = lagrangian(quality) * _gain(
            scaled if error is None else error, symbols, model.channel_steps(quality)
        )
    costs[:, 1:] += AREA_BITS
    levels = costs.argmin(1).astype(np.int32)
    numbers = np.arange(costs.shape[1])[:, None, None]
    for _ in range(2):
        predicted = levels - pyramid.residual(levels, past)
        distance = np.abs(numbers - predicted[:, None]).astype(np.float32)
        levels = (costs + np.float32(LEVEL_BITS) * np.log2(1 + distance)).argmin(1).astype(np.int32)
    return levels


def _gain(scaled: Scaled, symbols: Symbols, steps: NDArray[np.int32]) -> NDArray[np.float32]:
    """(2, h16, w16) squared error that `symbols` save, luma weighing 6/8 and chroma, with a quarter of the samples,
    1/8 * 4."""
    saved = np.zeros((2, *symbols.shape[1:]))
    if native.kernels is not None:
        native.kernels.saved_error(np.ascontiguousarray(scaled), np.ascontiguousarray(symbols), saved)
    else:
        for plane, channels in enumerate(PLANES):
            for value, symbol in zip(scaled[channels].astype(np.float64), symbols[channels], strict=True):
                saved[plane] += symbol * (2 * value - symbol)  # value ** 2 - (value - symbol) ** 2
    weights = np.array([0.75, 0.5]) * (steps[[0, 64], 0, 0] / 16) ** 2
    areas = saved[:, ::2, ::2] + saved[:, ::2, 1::2] + saved[:, 1::2, ::2] + saved[:, 1::2, 1::2]
    return (weights[:, None, None] * areas).astype(np.float32)
