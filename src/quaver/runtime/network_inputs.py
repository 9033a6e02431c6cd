"""What the networks see: 8-bit planes made from pictures, coefficients, latents, levels and vectors.

All have zero-point 128 and, seen as real numbers, scale 1/64. See docs/format/arithmetic.md, Network inputs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quaver.runtime import transform
from quaver.runtime.companding import compand, compand_steps
from quaver.runtime.picture import Picture, Plane
from quaver.runtime.transform import COEFFICIENT_MAX, COEFFICIENT_MIN, Planes

Bytes = NDArray[np.uint8]  # (channels, h, w)
Latents = NDArray[np.int32]  # (96, h8, w8) in quantization steps, 6 fractional bits

LEVEL_SCALE = 4
SAMPLE_CHANNELS = 6  # four phases of luma, U, V at half resolution
PAST_MOTION_CHANNELS = 11


def coefficient_planes(samples: Planes, steps: NDArray[np.int32]) -> Bytes:
    """(96, h8, w8): the transform of samples minus mid-grey, in steps (96, 1, 1), companded."""
    y, u, v = (plane - (128 << 4) for plane in samples)
    return compand_steps(transform.forward((y, u, v)), steps)


def picture_planes(picture: Picture, steps: NDArray[np.int32]) -> Bytes:
    """Coefficient planes of a picture."""
    y, u, v = (plane.astype(np.int32) << 4 for plane in (picture.y, picture.u, picture.v))
    return coefficient_planes((y, u, v), steps)


def latent_planes(latents: Latents) -> Bytes:
    return compand(latents)


def level_planes(levels: NDArray[np.int32]) -> Bytes:
    """(2, h8, w8) from activity levels (2, h16, w16)."""
    return (128 + LEVEL_SCALE * levels).astype(np.uint8).repeat(2, 1).repeat(2, 2)


def vector_planes(vectors: NDArray[np.int16]) -> Bytes:
    """(2, h8, w8): vectors in whole luma samples, companded."""
    return compand(vectors.transpose(2, 0, 1).astype(np.int32) * 16)


def motion_planes(latents: NDArray[np.int32]) -> Bytes:
    """(2n, h16, w16): Haar latents of vectors, or their residuals, (n, 2, h16, w16), companded as vectors are."""
    return compand(latents.reshape(-1, *latents.shape[-2:]) * 16)


def past_motion_planes(latents: NDArray[np.int32], levels: NDArray[np.int32], quality: int) -> Bytes:
    """(11, h16, w16): the last frame's Haar latents (4, 2, h16, w16) and activity levels (2, h16, w16), and this
    frame's quality."""
    area_levels = (128 + LEVEL_SCALE * levels).astype(np.uint8)
    return np.concatenate([motion_planes(latents), area_levels, quality_plane(quality, levels.shape[1:])])


def quality_plane(quality: int, shape: tuple[int, int]) -> Bytes:
    """(1, *shape), constant."""
    return np.full((1, *shape), 128 + 2 * (quality - 32), np.uint8)


def sample_planes(y: Plane, u: Plane, v: Plane) -> Bytes:
    """(6, H/2, W/2): luma's four phases (top left, top right, bottom left, bottom right), U, V."""
    return np.stack([y[0::2, 0::2], y[0::2, 1::2], y[1::2, 0::2], y[1::2, 1::2], u, v])


def from_sample_planes(planes: Bytes) -> tuple[Plane, Plane, Plane]:
    """The inverse of `sample_planes`."""
    _, rows, columns = planes.shape
    y = planes[:4].reshape(2, 2, rows, columns).transpose(2, 0, 3, 1).reshape(2 * rows, 2 * columns)
    return y, planes[4], planes[5]


def carry_latents(latents: Latents, vectors: NDArray[np.int16]) -> Latents:
    """The last frame's latents moved by whole blocks: block (i, j) takes the one its vector points to, rounded
    to the nearest block and clamped to the map."""
    rows, columns = vectors.shape[:2]
    offsets = (vectors.astype(np.int32) + 16) >> 5
    i, j = np.mgrid[:rows, :columns]
    i, j = np.clip(i + offsets[..., 1], 0, rows - 1), np.clip(j + offsets[..., 0], 0, columns - 1)
    return latents[:, i, j]


def smooth_from_dc(dc: NDArray[np.int32], steps: NDArray[np.int32]) -> Planes:
    """Y, U, V (4 fractional bits) drawn through the block means that DC symbols (3, h8, w8) stand for: bilinear
    between block centres, replicated outside. ``steps``: (3,) of the DC channels."""
    means = [((dc[0] * steps[0]) >> 3) + 2048, ((dc[1] * steps[1]) >> 2) + 2048, ((dc[2] * steps[2]) >> 2) + 2048]
    # No picture reaches these limits; a hostile stream would, and sums beyond 32 bits mean nothing.
    means = [np.clip(plane, COEFFICIENT_MIN, COEFFICIENT_MAX) for plane in means]
    return _bilinear(means[0], 8), _bilinear(means[1], 4), _bilinear(means[2], 4)


def _bilinear(means: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Each block centre's value to size x size samples; weights in 1/(2 size), rounded once."""
    rows = _bilinear_rows(np.pad(means, 1, mode="edge"), size)
    both = _bilinear_rows(rows.T, size).T
    return (both + 2 * size * size) >> (2 * (2 * size).bit_length() - 2)


def _bilinear_rows(values: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """(n + 2, k) to (n * size, k), gain 2 size."""
    before, here, after = values[:-2], values[1:-1], values[2:]
    result = np.empty((len(here), size, values.shape[1]), np.int32)
    for offset in range(size):
        distance = 2 * offset + 1 - size  # from the centre, in half samples
        other = before if distance < 0 else after
        result[:, offset] = (2 * size - abs(distance)) * here + abs(distance) * other
    return result.reshape(-1, values.shape[1])
