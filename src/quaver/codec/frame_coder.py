"""A frame's path, both directions: what the decoder does with symbols, and in which order they are coded.

Encoder and decoder call the same functions; the encoder passes the symbols it has chosen, the decoder None.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quaver.codec.coefficients import DC_CHANNELS, Levels, code_coefficients, code_dc, code_levels
from quaver.codec.symbol_coder import SymbolCoder, Symbols, code_by_class
from quaver.errors import StreamError
from quaver.runtime import haar, pyramid, transform
from quaver.runtime.model import IntegerModel
from quaver.runtime.picture import Picture
from quaver.runtime.transform import Planes
from quaver.runtime.warp import VECTOR_LIMIT, compensate

Vectors = NDArray[np.int16]  # (h8, w8, 2): dx, dy in quarter luma samples


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a frame leaves for the next one."""

    picture: Picture
    vectors: Vectors
    levels: Levels


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The encoder's decisions about a frame: symbols (96, h8, w8) and levels (2, h8/2, w8/2)."""

    symbols: Symbols
    levels: Levels


def code_vectors(coder: SymbolCoder, vectors: Vectors | None, past: State) -> Vectors:
    """Motion vectors as Haar latents: averages from the pyramid, then details, whose tables depend on how
    much the averages around them vary."""
    previous = haar.forward(past.vectors)[0]
    latents = haar.forward(vectors) if vectors is not None else None
    known = pyramid.residual(latents[0], previous) if latents is not None else None
    coded = code_by_class(coder, known, _variation(previous), 4)
    average = pyramid.reconstruct(coded, previous)
    classes = np.repeat(_variation(average)[None], 3, axis=0)
    details = code_by_class(coder, latents[1:] if latents is not None else None, classes, 4)
    decoded = haar.inverse(np.concatenate([average[None], details]))
    if np.abs(decoded).max() > VECTOR_LIMIT:
        raise StreamError(f"a motion vector exceeds {VECTOR_LIMIT} quarter samples")
    return decoded.astype(np.int16)


def _variation(average: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Class 0..3 of each position of (2, h, w): how much its neighbours differ, both components together."""
    clipped = np.clip(average, -4096, 4095)
    down = np.abs(np.diff(clipped, axis=1, append=clipped[:, -1:]))
    right = np.abs(np.diff(clipped, axis=2, append=clipped[:, :, -1:]))
    change = down + right
    change[:, 1:] += down[:, :-1]
    change[:, :, 1:] += right[:, :, :-1]
    total = change.sum(0)
    classes = (total > 0).astype(np.uint8) + (total > 8) + (total > 40)
    return np.repeat(classes.astype(np.uint8)[None], 2, axis=0)


def predict(past: State, vectors: Vectors) -> Planes:
    """The motion-compensated prediction, 4 fractional bits."""
    return compensate(past.picture, vectors)


def code_residual(
    coder: SymbolCoder, chosen: Chosen | None, prediction: Planes, past: State, quality: int
) -> tuple[Picture, Levels]:
    """Levels and coefficients of an inter frame, and the picture they make on top of `prediction`."""
    shape = past.picture.blocks
    levels = code_levels(coder, chosen.levels if chosen else None, past.levels, (shape[0] // 2, shape[1] // 2))
    symbols = code_coefficients(coder, chosen.symbols if chosen else None, levels, coder.model.inter_levels)
    return reconstruct(prediction, symbols, coder.model, quality), levels


def code_intra(coder: SymbolCoder, chosen: Chosen | None, shape: tuple[int, int], quality: int) -> State:
    """A frame by itself; `shape` is (h8, w8)."""
    dc = code_dc(coder, chosen.symbols[DC_CHANNELS] if chosen else None, shape)
    levels = code_levels(coder, chosen.levels if chosen else None, None, (shape[0] // 2, shape[1] // 2))
    table = coder.model.intra_levels
    symbols = code_coefficients(coder, without_dc(chosen.symbols) if chosen else None, levels, table).copy()
    symbols[DC_CHANNELS] = np.clip(dc, -32768, 32767)
    picture = reconstruct(grey(shape), symbols, coder.model, quality)
    return State(picture, np.zeros((*shape, 2), np.int16), levels)


def without_dc(symbols: Symbols) -> Symbols:
    """Intra symbols as the levels see them: DC is coded apart."""
    result = symbols.copy()
    result[DC_CHANNELS] = 0
    return result


def grey(shape: tuple[int, int]) -> Planes:
    """The prediction of an intra frame: 128 everywhere."""
    height, width = 8 * shape[0], 8 * shape[1]
    luma, chroma = np.full((height, width), 128 << 4, np.int32), np.full((height // 2, width // 2), 128 << 4)
    return luma, chroma.astype(np.int32), chroma.astype(np.int32)


def reconstruct(prediction: Planes, symbols: Symbols, model: IntegerModel, quality: int) -> Picture:
    """clamp8(round(prediction + inverse transform(step * symbols))); one rounding to 8 bits, at the end."""
    residual = transform.inverse(np.clip(symbols * channel_steps(model, quality), -(1 << 15), (1 << 15) - 1))
    y, u, v = (
        np.clip((p + r + 8) >> 4, 0, 255).astype(np.uint8) for p, r in zip(prediction, residual, strict=True)
    )
    return Picture(y, u, v)


def channel_steps(model: IntegerModel, quality: int) -> NDArray[np.int32]:
    """(96, 1, 1) quantization steps, 4 fractional bits."""
    luma, chroma = model.steps[quality]
    return np.array([luma] * 64 + [chroma] * 32, np.int32)[:, None, None]
