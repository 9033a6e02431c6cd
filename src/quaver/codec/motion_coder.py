"""A frame's motion, both directions: vectors as Haar latents, whose entropy parameters the MotionDecoder corrects.

Averages come from the pyramid, then details, whose tables depend on how much the averages around them vary. The
encoder's half: `encode_motion`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quaver.codec.frame_coder import State, Vectors
from quaver.codec.networks import Engine
from quaver.codec.symbol_coder import SymbolCoder, code_by_class
from quaver.errors import StreamError
from quaver.runtime import haar, network_inputs, pyramid
from quaver.runtime.companding import expand
from quaver.runtime.warp import VECTOR_LIMIT

CLASSES = 4  # of how much the averages around a position vary

HaarLatents = NDArray[np.int32]  # (4, 2, h16, w16): average, horizontal, vertical, diagonal; quarter samples


def code_vectors(coder: SymbolCoder, engine: Engine, vectors: Vectors | None, past: State, quality: int) -> Vectors:
    """The frame's vectors (h8, w8, 2); the decoder passes None."""
    latents = haar.forward(vectors) if vectors is not None else None
    previous = haar.forward(past.vectors)
    networks = engine.motion
    seen = network_inputs.past_motion_planes(previous, past.levels, quality)

    known = pyramid.residual(latents[0], previous[0]) if latents is not None else None
    index = networks.average(seen) if networks is not None else None
    residual = code_by_class(coder, known, variation(previous[0]), CLASSES, index)
    average = pyramid.reconstruct(residual, previous[0])

    index, mean = None, np.zeros((3, *average.shape), np.int32)
    if networks is not None:
        now = network_inputs.motion_planes(np.stack([average, residual]))
        index, codes = networks.detail(np.concatenate([now, seen]))
        index, mean = index.reshape(mean.shape), in_quarters(codes).reshape(mean.shape)
    known = latents[1:] - mean if latents is not None else None
    classes = np.repeat(variation(average)[None], 3, axis=0)
    details = mean + code_by_class(coder, known, classes, CLASSES, index)

    decoded = haar.inverse(np.concatenate([average[None], details]))
    if np.abs(decoded).max() > VECTOR_LIMIT:
        raise StreamError(f"a motion vector exceeds {VECTOR_LIMIT} quarter samples")
    return decoded.astype(np.int16)


def encode_motion(vectors: Vectors, engine: Engine, past: State, quality: int) -> Vectors:
    """The MotionEncoder's corrections of the Haar latents of searched vectors (h8, w8, 2); an area that they would
    move beyond the limit keeps its vectors. Only the encoder does this."""
    if engine.motion is None:
        return vectors
    latents = haar.forward(vectors)
    seen = network_inputs.past_motion_planes(haar.forward(past.vectors), past.levels, quality)
    codes = engine.motion.encode(np.concatenate([network_inputs.motion_planes(latents), seen]))
    corrected = haar.inverse(latents + in_quarters(codes).reshape(latents.shape))
    legal = np.abs(corrected).max(-1) <= VECTOR_LIMIT
    areas = legal[::2, ::2] & legal[::2, 1::2] & legal[1::2, ::2] & legal[1::2, 1::2]
    return np.where(areas.repeat(2, 0).repeat(2, 1)[..., None], corrected, vectors).astype(np.int16)


def in_quarters(codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Companded codes as whole quarter samples."""
    return (expand(codes) + 32) >> 6


def variation(average: NDArray[np.int32]) -> NDArray[np.uint8]:
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
